/** @file Mixed precision on a model in which one layer counts a hundred times as much as the other. */
import { describe, expect, test } from "vitest";
import type { Graph } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { bitsOf } from "../../src/weights/weight.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel, partOf, weightsIn } from "../support/layer.ts";

const random = createRandom(31);
const normal = (length: number, scale = 1): Float32Array =>
  Float32Array.from({ length }, () => scale * random.normal());

test("the layer that outputs depend on gets more bits, within the mean that was asked for", async () => {
  const [large, small] = [normal(16 * 12), normal(16 * 12, 0.01)];
  const model = layerModel(["N", 12], (g, x) =>
    g.Add(
      g.MatMul(x, g.constant(large, { shape: [12, 16] })),
      g.MatMul(x, g.constant(small, { shape: [12, 16] })),
    ),
  );
  const x = tensor("float32", [64, 12], normal(64 * 12));
  const data = tensorDataset({ x });
  const env = environmentOf(
    { name: "sum", model, feeds: () => ({ x }) },
    { calibration: data, training: data },
  );
  const { bytes: start } = await apply(model, "quantize-mixed", { except: ["*"] }, env);
  const original = await outputsOf(start, { x });
  const mixed = await apply(model, "quantize-mixed", { bits: 4 }, env);
  const widths = weightsIn(mixed.model).map(({ weight }) =>
    bitsOf(Int8Array.from(Array.from(partOf(weight, "levels"))), true),
  );
  expect(widths[0]).toBeGreaterThanOrEqual(5);
  expect(widths[1]).toBeLessThan(widths[0]);
  expect(widths[0] + widths[1]).toBeLessThanOrEqual(8);
  const uniform = await apply(model, "quantize-gptq", { bits: 4 }, env);
  const errorOf = async (bytes: Uint8Array): Promise<number> =>
    relativeError(await outputsOf(bytes, { x }), original);
  expect(await errorOf(mixed.bytes)).toBeLessThan(0.6 * (await errorOf(uniform.bytes)));
});

test("fewest bits above the most are refused before any work", async () => {
  const model = layerModel(["N", 8], (g, x) =>
    g.MatMul(x, g.constant(normal(64), { shape: [8, 8] })),
  );
  const x = tensor("float32", [4, 8], normal(32));
  const env = environmentOf({ name: "swapped", model, feeds: () => ({ x }) });
  await expect(apply(model, "quantize-mixed", { least: 6, most: 3 }, env)).rejects.toThrow(
    "quantize-mixed: least=6 is above most=3. Give at least as many for most.",
  );
});

describe("milliseconds beside bits, on two layers of which one gains by the n-bit kernel", () => {
  const model = layerModel(["N", 16], (g, x) =>
    g.Add(
      g.MatMul(x, g.constant(normal(16 * 16), { shape: [16, 16] })),
      g.MatMul(x, g.constant(normal(16 * 16), { shape: [16, 16] })),
    ),
  );
  const x = tensor("float32", [24, 16], normal(24 * 16));
  const data = tensorDataset({ x });
  const env = environmentOf(
    { name: "both", model, feeds: () => ({ x }) },
    { calibration: data, training: data },
  );
  const [first, second] = model.graph.sorted().map(({ name }) => name);
  /** The type of the integers that a layer unpacks while it runs; null for a plain weight. */
  const kernelOf = (graph: Graph, name: string): string | null => {
    const node = graph.sorted().find((node) => node.name === name);
    const unpacks = node?.inputs[1]?.producer;
    return unpacks?.inputs.length === 2 && !unpacks.inputs[0]?.producer
      ? (unpacks.inputs[0]?.dtype ?? null)
      : null;
  };
  // The first: 100 us, 60 with int8 and 40 with int4; the second: 100, else 200.
  const timeNodes = async ({ graph }: Model) =>
    new Map(
      graph.sorted().map((node) => {
        const kernel = kernelOf(graph, node.name);
        const own = kernel === null ? 100 : kernel === "int8" ? 60 : 40;
        if (node.name === second) return [node, kernel === null ? 100 : 200];
        return [node, node.name === first ? own : 0];
      }),
    );
  const done = (given: object, clock: object = { timeNodes }) =>
    apply(
      model,
      "quantize-mixed",
      { unit: "milliseconds", bits: 8, passes: 0, ...given },
      env,
      clock,
    );
  const kernelsOf = ({ graph }: Model) => [kernelOf(graph, first), kernelOf(graph, second)];

  test.each([
    ["160 of 200 us", { budget: 0.8 }, ["int8", null]],
    ["140 of 200 us", { budget: 0.7 }, ["int4", null]],
  ])("%s", async (_, given, kernels) => {
    const { model: made, warnings } = await done(given);
    const found = kernelsOf(made);
    expect(found).toEqual(kernels);
    expect(warnings).toEqual([]);
  });

  test("a time that no kernel reaches is told", async () => {
    const { model: made, warnings } = await done({ budget: 0.5 });
    expect(kernelsOf(made)).toEqual(["int4", null]);
    expect(warnings[0]).toContain("no kernels take less than 70 %");
  });

  test("both limits hold: fewer bits for the layer that is not timed", async () => {
    const { model: made } = await done({ budget: 0.8, bits: 5 });
    const [fast, slow] = kernelsOf(made);
    expect(["int8", "int4"]).toContain(fast);
    expect(slow).toBeNull();
  });

  test("an engine without such a clock: bits decide, with a warning", async () => {
    const { warnings } = await done({ budget: 0.8 }, {});
    expect(warnings[0]).toContain("bits alone decide");
  });

  test("a share of the bytes in float32 is a mean number of bits", async () => {
    const given = { unit: "bytes", budget: 0.125, bits: 8 };
    const [share, mean] = await Promise.all([
      done(given, {}),
      apply(model, "quantize-mixed", { bits: 4, passes: 0 }, env),
    ]);
    expect(share.bytes).toEqual(mean.bytes);
  });
});
