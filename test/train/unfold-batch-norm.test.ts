import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { readModel } from "../../src/onnx/read.ts";
import { build } from "../../src/ops/builder.ts";
import { bindDims, inferModel, inferNode } from "../../src/ops/infer.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import { toTrainingMode } from "../../src/train/batch-norm.ts";
import {
  type ChannelStatistics,
  convolutions,
  unfoldBatchNorm,
} from "../../src/train/unfold-batch-norm.ts";
import { feedsOf, realModels } from "../support/real-models.ts";
import { runOrt } from "./gradients.ts";

type Feeds = Record<string, Tensor>;

/** Statistics of these inputs, as the engine computes them. */
async function statisticsOf(model: Model, feeds: Feeds): Promise<Map<Value, ChannelStatistics>> {
  const twin = cloneModel(model);
  const g = build(twin.graph, "", inferNode);
  const meanOf = (value: Value): Value => {
    const axes = (value.shape ?? []).map((_, axis) => axis).filter((axis) => axis !== 1);
    return g.ReduceMean(value, g.ints(axes), { keepdims: 0 });
  };
  const moments = convolutions(twin).map((x) => ({ mean: meanOf(x), square: meanOf(g.Mul(x, x)) }));
  twin.graph.setOutputs(moments.flatMap(({ mean, square }) => [mean, square]));
  for (const [i, output] of twin.graph.outputs.entries()) output.name = `m${i}`;
  const results = await runOrt(twin, feeds);
  return new Map(
    convolutions(model).map((value, i) => {
      const [mean, square] = [results[`m${2 * i}`], results[`m${2 * i + 1}`]];
      return [value, { mean, variance: square.map((s, c) => Math.max(0, s - mean[c] ** 2)) }];
    }),
  );
}

const count = ({ graph }: Model, op: string): number =>
  [...graph.nodes].filter((node) => node.op === op).length;

/** Largest difference against the largest output. */
function difference(actual: Record<string, Float32Array>, before: Record<string, Float32Array>) {
  const [[name, values]] = Object.entries(before);
  const top = values.reduce((best, v) => Math.max(best, Math.abs(v)), 0);
  return values.reduce((worst, v, i) => Math.max(worst, Math.abs(v - actual[name][i])), 0) / top;
}

const names = ["resnet20_cifar10_torchexport", "vww_mobilenetv1_96", "kws_dscnn"];
const models = realModels.filter(({ name }) => names.includes(name));

describe.each(models)("unfoldBatchNorm on $name", ({ path, shapes }) => {
  test.skipIf(!path)("the function stays, by batch statistics too, and folds back", async () => {
    const model = bindDims(readModel(readFileSync(path as string)), shapes[1]);
    rewrite(model);
    const feeds = feedsOf(shapes[1]) as Feeds;
    const before = await runOrt(cloneModel(model), feeds);
    const [nodes, norms] = [model.graph.nodes.size, count(model, "BatchNormalization")];
    const statistics = await statisticsOf(model, feeds);
    expect(statistics.size).toBeGreaterThan(7);

    const made = unfoldBatchNorm(model, statistics);
    inferModel(model);
    expect(made).toHaveLength(statistics.size);
    expect(count(model, "BatchNormalization")).toBe(norms + made.length);
    expect(verify(model)).toEqual([]);
    expect(difference(await runOrt(cloneModel(model), feeds), before)).toBeLessThan(1e-4);

    // The statistics were those of this very batch.
    const training = cloneModel(model);
    expect(toTrainingMode(training).length).toBeGreaterThanOrEqual(made.length);
    expect(difference(await runOrt(training, feeds), before)).toBeLessThan(1e-3);

    rewrite(model);
    expect(count(model, "BatchNormalization")).toBe(norms);
    expect(model.graph.nodes.size).toBe(nodes);
    expect(difference(await runOrt(model, feeds), before)).toBeLessThan(1e-4);
  });
});
