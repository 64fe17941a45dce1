/** @file Gradient descent on the user's data: fine-tuning, distillation, repair after other steps. */
import { trainOptions } from "../train/options.ts";
import { defineMethod } from "./method.ts";

export const train = defineMethod({
  title: "training",
  family: "distillation",
  cite: "Rumelhart, Hinton, Williams 1986; Hinton et al. 2015, arXiv 1503.02531",
  summary:
    "Learns from data what earlier steps lost: every float that weights are made of moves, zeros stay.",
  needs: ["training"],
  quickens: true,
  options: trainOptions,
  survey: [],
  neutral: { epochs: 0 },
  async apply(model, options, context) {
    if (options.epochs === 0 && options.steps === 0) return;
    const { parameters } = await context.train(model, options);
    if (parameters === 0) context.warn("no float32 weight of the chosen layers leads to the loss");
  },
});
