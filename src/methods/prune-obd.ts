/** @file Optimal brain damage: the weights whose removal raises the error least by a diagonal Hessian. */
import { z } from "zod";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { tensor } from "../ir/tensor.ts";
import { type Context, defineMethod } from "./method.ts";
import { calibrationOptions, pruneByScore, sharedOptions } from "./prune.ts";
import { loudness } from "./prune-wanda.ts";
import { type Site, siteOptions } from "./sites.ts";

/**
 * s = h w^2 / 2. h is the curvature of the layer's own squared output error (E x^2), or of the loss:
 * the mean square of its gradient over single records, the diagonal of the empirical Fisher matrix.
 */
export const pruneObd = defineMethod({
  title: "optimal brain damage",
  family: "pruning",
  cite: "LeCun, Denker, Solla 1990; Theis et al. 2018, arXiv 1801.05787, section 2.1",
  summary:
    "Sets to zero the weights with the least w^2 times curvature, of the layer or of the loss.",
  needs: ["calibration"],
  options: z.object({
    ...sharedOptions("layer", "global", "row"),
    curvature: z
      .enum(["layer", "loss"])
      .default("layer")
      .meta({
        description: "Of the layer's output error, or of the loss (takes labelled training data).",
        search: ["layer", "loss"],
      }),
    ...calibrationOptions,
    ...siteOptions,
  }),
  survey: [],
  neutral: { sparsity: 0 },
  apply: (model, options, context) =>
    pruneByScore(model, options, context, async (sites) => {
      if (options.curvature === "loss") return fisherScores(model, sites, options.records, context);
      const roots = await loudness(model, sites, options.records, context);
      return roots.map((root) => root.map((s) => (s * s) / 2));
    }),
});

/** Gradients of single records, from steps so short that no weight moves. */
async function fisherScores(
  model: Model,
  sites: readonly Site[],
  records: number,
  context: Context,
): Promise<Float64Array[]> {
  const twins = new Map<Value, Value>();
  const probe: Model = { ...model, graph: cloneGraph(model.graph, twins) };
  const sums = sites.map(({ weight }) => new Float64Array(weight.values.length));
  const sumOf = new Map<Value, Float64Array>();
  for (const [i, { value, weight }] of sites.entries()) {
    const twin = twins.get(value) as Value;
    const plain = twin.graph.addConstant(
      value.name,
      tensor("float32", weight.shape, weight.values),
    );
    twin.graph.replace(twin, plain);
    sumOf.set(plain, sums[i]);
  }
  const still = {
    optimizer: "sgd",
    rate: 1e-38,
    schedule: "constant",
    batchnorm: "frozen",
  } as const;
  await context.train(
    probe,
    { ...still, steps: records, batch: 1, holdout: 0 },
    {
      beforeUpdate(gradient, _, { parameters }) {
        for (const { value, offset, size } of parameters) {
          const sum = sumOf.get(value);
          for (let i = 0; sum && i < size; i++) sum[i] += gradient[offset + i] ** 2 / records;
        }
        gradient.fill(0);
      },
    },
  );
  return sites.map(({ weight }, i) => sums[i].map((h, j) => (h * weight.values[j] ** 2) / 2));
}
