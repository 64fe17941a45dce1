/** @file Binary-Weight-Networks: weights of -1 and +1 times one scale for each filter. */
import { z } from "zod";
import { meanScale } from "../../learned/bwn.ts";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { openScaled, scalesOption } from "../../learned/scaled.ts";
import { defineMethod } from "../method.ts";

export const binarizeBwn = defineMethod({
  title: "Binary-Weight-Networks (BWN)",
  equation: "W = alpha sign(u), alpha = mean |u| of each filter",
  cite: "Rastegari et al. 2016, arXiv 1603.05279, section 3.1",
  summary: "Trains weights of one bit, -1 or +1 times the mean magnitude of each filter.",
  needs: ["training"],
  options: z.object({
    scales: scalesOption.default("channel").meta({ description: "What shares one scale." }),
    ...innerOptions({ rate: 0.002 }),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  apply: (model, { scales, ...options }, context) =>
    trainInner(model, options, context, `-1 and +1, a scale for each ${scales}`, (sites) =>
      sites.map((site) => openScaled(site, meanScale(scales))),
    ),
});
