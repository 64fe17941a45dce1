/** @file Training: gradient descent on the user's data, to fine-tune, distil or repair. */

import type { Context } from "../../context.ts";
import { spreadsOf } from "../../evidence/pooled.ts";
import type { Model } from "../../ir/model.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import { convolutions, unfoldBatchNorm } from "../../train/unfold-batch-norm.ts";
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
  onlyTrains: true,
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
  const sources = convolutions(model).map((value) => ({ value, axis: 1 }));
  if (sources.length === 0) {
    context.warn("no convolution's normalization was unfolded");
    return;
  }
  const spreads = await spreadsOf(model, sources, context.observe);
  unfoldBatchNorm(model, new Map(Array.from(spreads, ([{ value }, own]) => [value, own])));
}
