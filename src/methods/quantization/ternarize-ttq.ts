/** @file Trained ternary quantization: two learned levels beside 0 for each layer. */
import { z } from "zod";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { stepFrom } from "../../learned/step.ts";
import { indicator, passing } from "../../learned/straight-through.ts";
import { codebookOf } from "../../weights/forms/codebook.ts";
import { type Latent, type Opened, open } from "../../weights/latent.ts";
import type { ThetaSite } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * W = a where u > t, -b where u < -t, else 0; t is a share of max |u|, and a, b > 0 learn (eq. 6):
 *   dE/da = sum of dE/dW where u > t,  dE/db = -(sum of dE/dW where u < -t)  (eq. 7)
 *   dE/du = dE/dW times a where u > t, b where u < -t, and 1 in between (eq. 8)
 */
export const ternarizeTtq = defineMethod({
  title: "trained ternary quantization (TTQ)",
  equation: "W = a where u > t, -b where u < -t, else 0; t a share of max |u|, a and b learn",
  cite: "Zhu et al. 2017, arXiv 1612.01064",
  summary: "Trains weights of two bits, 0 and two levels of each layer that learn as well.",
  needs: ["training"],
  options: z.object({
    threshold: z
      .number()
      .min(0)
      .max(0.9)
      .default(0.05)
      .meta({
        description: "Weights up to this share of the layer's largest are 0.",
        search: [0.05, 0.1],
      }),
    ...innerOptions({ rate: 0.001 }),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  apply: (model, { threshold, ...options }, context) =>
    trainInner(model, options, context, "0 and two learned levels for each layer", (sites) =>
      sites.map((site) => openUp(site, threshold)),
    ),
});

/**
 * Opens a weight. The levels are counted in units of the first mean magnitude above the threshold, so
 * that both start near 1, as in the paper; otherwise weights at 0, whose factor is 1, would learn
 * many times as fast as the others.
 */
function openUp({ node, value, weight: { shape, values } }: ThetaSite, share: number): Opened {
  const first = thresholdOf(values, share);
  const up = values.filter((w) => w > first);
  const down = values.filter((w) => w < -first).map((w) => -w);
  const unit = Math.fround(meanOf(values.map(Math.abs).filter((w) => w > first)) || 1);
  const levelFrom = (own: Float32Array) => stepFrom(Math.fround(meanOf(own) / unit || 1));
  const latent: Latent<"latent" | "up" | "down"> = {
    theta: {
      latent: { start: values, shape },
      up: levelFrom(up),
      down: levelFrom(down),
    },
    build(g, { latent: u, up, down }) {
      const largest = g.ReduceMax(g.Abs(u), { keepdims: 0 });
      const t = g.Mul(largest, g.constant(Math.fround(share)));
      const isUp = indicator(g, g.Greater(u, t));
      const isDown = indicator(g, g.Less(u, g.Neg(t)));
      const isZero = g.Sub(g.constant(1), g.Add(isUp, isDown));
      const [a, b] = [g.Mul(isUp, up), g.Mul(isDown, down)];
      const slope = g.Add(g.Add(a, b), isZero);
      return g.Mul(g.Add(g.Sub(a, b), g.Mul(passing(g, u), slope)), g.constant(unit));
    },
    close({ latent: u, up: [a], down: [b] }) {
      const t = thresholdOf(u, share);
      const index = Uint16Array.from(u, (x) => (x > t ? 1 : x < -t ? 2 : 0));
      const entries = Float32Array.of(0, Math.fround(a * unit), -Math.fround(b * unit));
      return codebookOf({ codebook: entries, index }, shape);
    },
  };
  return open({ node, value }, latent);
}

/** The threshold as float32, which is how training compares with it. */
function thresholdOf(u: Float32Array, share: number): number {
  const largest = u.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return Math.fround(largest * Math.fround(share));
}

const meanOf = (u: Float32Array): number =>
  u.reduce((sum, x) => sum + x, 0) / Math.max(1, u.length);
