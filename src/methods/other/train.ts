/** @file Training: gradient descent on the user's data, to fine-tune, distil or repair. */

import type { Context } from "../../context.ts";
import type { Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import type { Builder } from "../../ops/builder.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import { channelMoments, convolutions, unfoldBatchNorm } from "../../train/unfold-batch-norm.ts";
import { defineMethod } from "../method.ts";

export const train = defineMethod({
  title: "training",
  cite: "Rumelhart, Hinton, Williams 1986; Hinton et al. 2015, arXiv 1503.02531",
  summary:
    "Trains on data to recover what earlier steps lost: all stored floats of weights learn, exact zeros stay.",
  needs: (options) => [
    ...needsOfLoss(options),
    ...(options.batchnorm === "unfold" ? (["calibration"] as const) : []),
  ],
  options: trainOptions,
  survey: [],
  neutral: { epochs: 0 },
  async apply(model, options, context) {
    if (options.epochs === 0 && options.steps === 0) return;
    if (options.batchnorm === "unfold") await unfold(model, context);
    const { parameters } = await context.train(model, options);
    if (parameters === 0) context.warn("no float32 weight of the chosen layers leads to the loss");
  },
});

/**
 * Adds a normalization, with the statistics of the calibration records, behind every convolution
 * that one was folded into.
 */
async function unfold(model: Model, context: Context): Promise<void> {
  const taps = convolutions(model).flatMap((value) => [
    { value, moment: 0, of: (g: Builder, x: Value) => channelMoments(g, x).mean },
    { value, moment: 1, of: (g: Builder, x: Value) => channelMoments(g, x).square },
  ]);
  if (taps.length === 0) {
    context.warn("no convolution's normalization was unfolded");
    return;
  }
  const sums = new Map<Value, [Float64Array, Float64Array]>();
  let batches = 0;
  await context.observe(model, taps, ({ value, moment }, batch) => {
    const means = batch.floats();
    const pair = sums.get(value) ?? [
      new Float64Array(means.length),
      new Float64Array(means.length),
    ];
    sums.set(value, pair);
    for (let c = 0; c < means.length; c++) pair[moment][c] += means[c];
    if (value === taps[0].value && moment === 0) batches++;
  });
  const statistics = new Map(
    Array.from(sums, ([value, [first, second]]) => {
      const mean = first.map((sum) => sum / batches);
      const variance = second.map((sum, c) => Math.max(0, sum / batches - mean[c] ** 2));
      return [value, { mean, variance }] as const;
    }),
  );
  unfoldBatchNorm(model, statistics);
}
