/** @file Every fixture: model, expected, options. Rewritten twice, verified, and run on ONNX Runtime beside the original. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { Graph, Value } from "../../src/ir/graph.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { printGraph } from "../../src/ir/print.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type RuleId, rewrite } from "../../src/rewrite/index.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";
import { relativeError } from "../support/error.ts";

interface Options {
  readonly rules?: readonly RuleId[];
  /** Every reason given for what was left alone. */
  readonly refused?: readonly string[];
}

const folder = fileURLToPath(new URL("fixtures/", import.meta.url));
const runtime = await openNodeRuntime();

describe.each(readdirSync(folder))("%s", (file) => {
  const [text, expected, settings] = readFileSync(folder + file, "utf8").split(/^@@@\n/m);
  const { rules, refused = [] } = JSON.parse(settings) as Options;
  const original = parseModel(text, { name: file });
  const model = cloneModel(original);
  const report = rewrite(model, rules ? { rules } : {});
  const actual = `${printGraph(model.graph)}\n`;
  // Accepts the present output: look at the difference before committing it.
  if (process.env.UPDATE) writeFileSync(folder + file, [text, actual, settings].join("@@@\n"));

  test("becomes what is expected", () => {
    expect(actual).toBe(process.env.UPDATE ? actual : expected);
    expect(report.refused.map(({ reason }) => reason)).toEqual(refused);
    expect(verify(model)).toEqual([]);
  });

  test("stays so when rewritten again", () => {
    const again = cloneModel(model);
    expect(rewrite(again, rules ? { rules } : {}).applied).toEqual([]);
    expect(`${printGraph(again.graph)}\n`).toBe(actual);
  });

  test("computes the same", async () => {
    const feeds = feedsFor(original.graph);
    expect(relativeError(await run(original, feeds), await run(model, feeds))).toBeLessThan(2e-6);
  });
});

async function run(model: Model, feeds: Feeds): Promise<Record<string, Tensor>> {
  const session = await runtime.open(
    { bytes: concat(writeModel(model)) },
    { optimize: "disabled" },
  );
  const outputs = await session.run(feeds);
  await session.close();
  return outputs;
}

function feedsFor(graph: Graph): Feeds {
  const random = createRandom(3);
  const feed = ({ dtype, shape }: Value): Tensor => {
    const dims = shape?.map((dim) => (typeof dim === "number" ? dim : dim === "N" ? 2 : 5)) ?? [];
    const size = dims.reduce((product, dim) => product * dim, 1);
    const value =
      dtype === "float32"
        ? () => 3 * random.normal()
        : () => (dtype === "bool" ? 1 : random.int(2));
    return tensor(dtype ?? "float32", dims, Array.from({ length: size }, value));
  };
  return Object.fromEntries(graph.inputs.map((input) => [input.name, feed(input)]));
}
