/** @file Ternary weight networks: weights of -1, 0 and +1 times a scale that fits them best. */
import { z } from "zod";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { openScaled, type Scaling, scalesOption } from "../../learned/scaled.ts";
import { defineMethod } from "../method.ts";

/** The threshold in mean magnitudes: near the best one for uniform and for normal weights (eq. 6). */
const SHARE = 0.7;

/**
 * W = alpha sign(u) 1(|u| > t), t = 0.7 mean |u|, alpha the mean of the |u| above t (eq. 3 to 6).
 * Gradients pass straight through: dE/du = dE/dW (section 2.4).
 */
export const ternarizeTwn = defineMethod({
  title: "ternary weight networks (TWN)",
  equation: "W = alpha sign(u) 1(|u| > t), t = 0.7 mean |u|, alpha = mean of the |u| > t",
  cite: "Li, Zhang, Liu 2016, arXiv 1605.04711",
  summary: "Trains weights of two bits, -1, 0 or +1 times a scale; small weights are 0.",
  needs: ["training"],
  options: z.object({
    scales: scalesOption
      .default("channel")
      .meta({ description: "What shares one scale and threshold; layer as in the paper." }),
    ...innerOptions({ rate: 0.001 }),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  apply: (model, { scales, ...options }, context) =>
    trainInner(model, options, context, `-1, 0 and +1, a scale for each ${scales}`, (sites) =>
      sites.map((site) => openScaled(site, twn(scales))),
    ),
});

const twn = (scales: Scaling["scales"]): Scaling => ({
  isTernary: true,
  scales,
  project(u) {
    const threshold = Math.fround((SHARE * sumOf(u)) / u.length);
    const kept = u.filter((x) => Math.abs(x) > threshold);
    return { threshold, scale: sumOf(kept) / Math.max(1, kept.length) };
  },
});

const sumOf = (u: Float32Array): number => u.reduce((sum, x) => sum + Math.abs(x), 0);
