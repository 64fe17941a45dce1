/** @file Loss-aware binarization: weights are projected where the loss is least sensitive to it. */
import { z } from "zod";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { type Fit, openScaled, type Scaling, scalesOption } from "../../learned/scaled.ts";
import { defineMethod } from "../method.ts";

/**
 * A proximal Newton step: the latent u takes Adam's step with the gradient at W, and W is the
 * projection of u that changes the loss least, by its second-order expansion with a diagonal Hessian:
 *   minimize sum_i d_i (u_i - alpha b_i)^2,  d = sqrt(v) + epsilon, v Adam's second moment
 * Binary: b = sign(u), alpha = sum |d u| / sum d (proposition 3.1). Ternary: for a given alpha b_i is
 * sign(u_i) 1(|u_i| > alpha / 2), for a given b alpha is as above over b_i != 0, and both are
 * computed in turn.
 */
export const binarizeLossAware = defineMethod({
  title: "loss-aware binarization (LAB)",
  equation:
    "min over alpha, b: sum_i d_i (u_i - alpha b_i)^2, d = sqrt(v) + epsilon, v Adam's second moment; W = alpha b",
  cite: "Hou, Yao, Kwok 2017, arXiv 1611.01600; ternary: Hou, Kwok 2018, arXiv 1802.08635",
  summary: "Trains weights of one or two bits that keep close where the loss is curved most.",
  needs: ["training"],
  options: z.object({
    bits: z
      .int()
      .min(1)
      .max(2)
      .default(1)
      .meta({
        description: "1: levels -1 and +1; 2: levels -1, 0 and +1.",
        search: [1, 2],
      }),
    scales: scalesOption
      .default("layer")
      .meta({ description: "What shares one scale; layer as in the paper." }),
    ...innerOptions({ rate: 0.002 }),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  apply: (model, { bits, scales, ...options }, context) =>
    trainInner(
      model,
      options,
      context,
      `${bits === 1 ? "-1" : "-1, 0"} and +1, a scale for each ${scales}`,
      (sites) => sites.map((site) => openScaled(site, lossAware(bits, scales))),
    ),
});

/** Adam's epsilon, which also makes d constant before the first update, when v is 0. */
const EPSILON = 1e-8;

const lossAware = (bits: number, scales: Scaling["scales"]): Scaling => ({
  isTernary: bits === 2,
  scales,
  project(u, v) {
    const d = Float64Array.from(v, (x) => Math.sqrt(x) + EPSILON);
    return bits === 1 ? { scale: scaleOver(u, d, -1) } : ternary(u, d);
  },
});

/** sum |d u| / sum d over |u| > threshold; 0 if there are none. */
function scaleOver(u: Float32Array, d: Float64Array, threshold: number): number {
  let [sum, weight] = [0, 0];
  for (let i = 0; i < u.length; i++) {
    const size = Math.abs(u[i]);
    if (size <= threshold) continue;
    sum += d[i] * size;
    weight += d[i];
  }
  return weight > 0 ? sum / weight : 0;
}

/** Rounds of alternating at most: it usually takes fewer than ten (arXiv 1802.08635, section 3.1). */
const ROUNDS = 10;

function ternary(u: Float32Array, d: Float64Array): Fit {
  let scale = scaleOver(u, d, 0);
  let threshold = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const next = Math.fround(scale / 2);
    if (next === threshold) break;
    threshold = next;
    scale = scaleOver(u, d, threshold);
  }
  return { scale, threshold };
}
