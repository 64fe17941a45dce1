/** @file Binary-Weight-Networks: weights of -1 and +1 times one scale for each filter. */
import { z } from "zod";
import type { Value } from "../../ir/graph.ts";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { openScaled, type Scaling, scalesOption } from "../../learned/scaled.ts";
import { indicator } from "../../learned/straight-through.ts";
import type { Builder } from "../../ops/builder.ts";
import { defineMethod } from "../method.ts";

/**
 * W = alpha sign(u), alpha = mean |u| (eq. 6). With n weights in a filter, the gradient is
 *   dE/du = dE/dW (1 / n + alpha 1(|u| <= 1))  (section 3.1, training)
 */
export const binarizeBwn = defineMethod({
  title: "Binary-Weight-Networks (BWN)",
  cite: "Rastegari et al. 2016, arXiv 1603.05279, section 3.1",
  summary: "Trains weights of one bit, -1 or +1 times the mean magnitude of each filter.",
  needs: ["training"],
  options: z.object({
    scales: scalesOption.default("channel").meta({ description: "What shares one scale." }),
    ...innerOptions({ rate: 0.002 }),
  }),
  survey: [],
  neutral: { epochs: 0 },
  apply: (model, { scales, ...options }, context) =>
    trainInner(model, options, context, (sites) =>
      sites.map((site) => openScaled(site, bwn(scales))),
    ),
});

const bwn = (scales: Scaling["scales"]): Scaling => ({
  isTernary: false,
  scales,
  project: (u) => ({ scale: u.reduce((sum, x) => sum + Math.abs(x), 0) / u.length }),
  slope(g: Builder, u: Value, alpha: Value, n: number): Value {
    const isNear = indicator(g, g.LessOrEqual(g.Abs(u), g.constant(1)));
    return g.Add(g.Mul(isNear, alpha), g.constant(1 / n));
  },
});
