/** @file BinaryConnect: weights of -1 and +1 times one scale, trained through real-valued ones. */
import { z } from "zod";
import {
  gradientsOption,
  openConnected,
  roundingOption,
  withGradients,
} from "../../learned/connect.ts";
import { learnedOptions, sitesToLearn, trainLevels } from "../../learned/training.ts";
import { defineMethod } from "../method.ts";

export const binarizeConnect = defineMethod({
  title: "BinaryConnect",
  equation: "W = H sign(u), H = mean |W|, u in [-1, 1]; dE/du = dE/dW",
  cite: "Courbariaux, Bengio, David 2015, arXiv 1511.00363",
  summary: "Trains weights of one bit, -1 or +1 times a scale for each layer.",
  needs: ["training"],
  options: z.object({
    rounding: roundingOption,
    gradients: gradientsOption,
    ...learnedOptions(0.005),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, { rounding, gradients, ...options }, context) {
    const sites = sitesToLearn(model, options, context);
    if (sites.length === 0) return;
    const opened = sites.map((site) => openConnected(site, rounding));
    await trainLevels(model, options, withGradients(opened, gradients), context);
  },
});
