/** @file Statistics after compression: means and deviations of every channel against the original's. */
import { describe, expect, test } from "vitest";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";

const random = createRandom(21);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal());
const [records, channels, side, filters, hidden] = [48, 3, 5, 8, 16];
const flat = filters * 3 * 3;

/** A convolution without a bias, a Gemm with one, a MatMul without. */
const original = layerModel(["N", channels, side, side], (g, x) => {
  const weight = (...shape: number[]) =>
    g.constant(normal(shape.reduce((a, b) => a * b)), { shape });
  const conv = g.Relu(g.Conv(x, weight(filters, channels, 3, 3)));
  const dense = g.Gemm(g.Flatten(conv), weight(hidden, flat), weight(hidden), { transB: 1 });
  return g.MatMul(g.Relu(dense), weight(hidden, 6));
});
const x = tensor(
  "float32",
  [records, channels, side, side],
  normal(records * channels * side * side).map((at) => at + 0.5),
);
const feeds = () => ({ x });
const env = environmentOf(
  { name: "statistics", model: original, feeds },
  { calibration: tensorDataset({ x }), feeds: { x } },
);

/** Means and deviations of the channels of each layer, by the reference evaluator. */
function statisticsOf(model: Model): { mean: number[]; deviation: number[] }[] {
  const copy = cloneModel(model);
  inferModel(copy);
  const outputs = weightsOf(copy).map(({ node }) => {
    const [sum] = node.output.consumers;
    // What was added behind the layer is part of what it gives.
    return sum?.op === "Add" ? sum.output : node.output;
  });
  for (const [i, output] of outputs.entries()) output.name = `layer${i}`;
  copy.graph.setOutputs(outputs);
  const computed = evaluateGraph(copy.graph, { x });
  return outputs.map(({ name }) => {
    const { shape } = computed[name];
    const values = computed[name].floats();
    const inner = shape.slice(2).reduce((a, b) => a * b, 1);
    const groups = Array.from({ length: shape[1] }, (_, c) =>
      values.filter((_, i) => Math.floor(i / inner) % shape[1] === c),
    );
    const mean = groups.map((own) => own.reduce((a, b) => a + b, 0) / own.length);
    const deviation = groups.map((own, c) =>
      Math.sqrt(own.reduce((sum, v) => sum + (v - mean[c]) ** 2, 0) / own.length),
    );
    return { mean, deviation };
  });
}

async function corrected(recipe: string) {
  const { model, warnings, skipped } = await applyRecipe(original, parseRecipe(recipe), env);
  expect(warnings).toEqual([]);
  return { found: statisticsOf(model), skipped };
}

const wanted = statisticsOf(original);

/** The largest differences of means, and of deviations, in deviations of the original. */
function distance(found: typeof wanted): { mean: number; deviation: number } {
  const most = (key: "mean" | "deviation"): number =>
    Math.max(
      ...wanted.flatMap((own, layer) =>
        own[key].map((at, c) => Math.abs(at - found[layer][key][c]) / own.deviation[c]),
      ),
    );
  return { mean: most("mean"), deviation: most("deviation") };
}

describe.each([
  ["scales of channels", "quantize-weights:bits=2,block=0,rescue=false"],
  ["plain floats", "prune-magnitude:sparsity=0.5"],
])("%s", (_, step) => {
  test("both are off without it", async () => {
    const { found } = await corrected(step);
    expect(distance(found).mean).toBeGreaterThan(0.1);
    expect(distance(found).deviation).toBeGreaterThan(0.1);
  });

  test("means and deviations are the original's", async () => {
    const { found } = await corrected(`${step} > correct-statistics`);
    expect(distance(found).mean).toBeLessThan(1e-3);
    expect(distance(found).deviation).toBeLessThan(1e-3);
  });

  test("match=mean leaves deviations alone", async () => {
    const { found } = await corrected(`${step} > correct-statistics:match=mean`);
    expect(distance(found).mean).toBeLessThan(1e-3);
    expect(distance(found).deviation).toBeGreaterThan(0.1);
  });
});

test("scales of blocks stay, biases are corrected", async () => {
  const { found } = await corrected("quantize-weights:bits=2,block=16 > correct-statistics");
  expect(distance(found).mean).toBeLessThan(1e-3);
});

test("a layer with other channels than in the original is skipped with the reason", async () => {
  const { model, skipped } = await applyRecipe(
    original,
    parseRecipe("prune-channels:ratio=0.5,round=1 > correct-statistics"),
    env,
  );
  const sizes = weightsOf(model).map(({ node }) => node.output.shape?.[1]);
  const own = skipped.filter(({ method }) => method === "correct-statistics");
  const changed = weightsOf(original).filter(({ node }, i) => node.output.shape?.[1] !== sizes[i]);
  expect(changed.length).toBeGreaterThan(0);
  const reason = "has other channels than in the original";
  expect(own).toEqual(
    changed.map(({ node }) => ({ node: node.name, method: "correct-statistics", reason })),
  );
});
