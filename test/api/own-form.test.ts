/** @file examples/own-form.ts: a form from outside the package is stored, read back and kept by later steps. */
import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { readModel } from "../../src/onnx/read.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { readWeight } from "../../src/weights/read.ts";

const example = new URL("../../examples/own-form.ts", import.meta.url);

test("its parts are quantized, its matrices stay what they are", async () => {
  const text = readFileSync(example, "utf8");
  expect([...text.matchAll(/from "(.+)"/g)].map(([, from]) => from)).toEqual(["tersor"]);
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  const argv = process.argv;
  process.argv = ["node", "own-form.ts"];
  const { result, outer } = await import(example.href).finally(() => {
    process.argv = argv;
    log.mockRestore();
  });
  const model = readModel(result.bytes, { name: "product" });
  inferModel(model);
  const kinds = weightsOf(model).map(({ value }) => {
    const weight = readWeight(value);
    const parts = Object.values(weight?.form ? weight.theta : {});
    return [weight?.form?.kind, ...parts.map(({ form }) => form?.kind ?? "numbers")];
  });
  const quantized = [outer.kind, "grid", "grid"];
  expect(kinds.slice(0, 2)).toEqual([quantized, quantized]);
  expect(result.result.bytes.raw).toBeLessThan(12_000);
});
