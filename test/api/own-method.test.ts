/** @file examples/own-method.ts: a method from outside the package, run against the sources. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readModel } from "../../src/onnx/read.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";

const folder = temporaryFolder();
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const example = new URL("../../examples/own-method.ts", import.meta.url);
const weightOf = (bytes: Uint8Array) =>
  weightsOf(readModel(bytes, { name: "product" }))[0].value.tensor!.floats();

test("compresses, stands in a survey's table, and imports the public surface only", async () => {
  const text = readFileSync(example, "utf8");
  expect([...text.matchAll(/from "(.+)"/g)].map(([, from]) => from)).toEqual(["tersor"]);

  const path = folder.in("model.onnx");
  const tables: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((table) => void tables.push(table));
  const argv = process.argv;
  process.argv = ["node", "own-method.ts", path];
  const { result, compared } = await import(example.href).finally(() => {
    process.argv = argv;
    log.mockRestore();
  });
  expect(tables).toHaveLength(2);
  expect(result.result).toMatchObject({
    recipe: "trim-mantissa:bits=4 > pack",
    family: "quantization",
    skipped: [],
  });
  // 4 bits of mantissa: no weight moves by more than 2^-5 of itself, and the other 19 are zero.
  const [before, after] = [weightOf(readFileSync(path)), weightOf(result.bytes)];
  for (const [i, w] of before.entries()) {
    expect(Math.abs(after[i] - w)).toBeLessThanOrEqual(Math.abs(w) / 32);
  }
  expect(new Uint32Array(after.slice().buffer).every((word) => word % 2 ** 19 === 0)).toBe(true);
  const [original, half, own] = compared.results;
  expect(half.recipe).toBe("store-float16");
  expect(own.recipe).toBe("trim-mantissa:bits=4");
  expect(own.bytes.packed).toBeLessThan(original.bytes.packed);
  expect(tables[1]).toContain("trim-mantissa:bits=4");
});
