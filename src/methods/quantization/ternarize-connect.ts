/** @file TernaryConnect: weights of -1, 0 and +1 drawn at random while they are trained. */
import { z } from "zod";
import { gradientsOption, uniform, withGradients } from "../../learned/connect.ts";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { indicator, passing } from "../../learned/straight-through.ts";
import { uniformGrid } from "../../weights/forms/grid.ts";
import { type Latent, type Opened, open } from "../../weights/latent.ts";
import type { ThetaSite } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/** Where the most probable level changes. */
const MIDDLE = 0.5;

/**
 * W = H sign(u) with probability |u|, else 0, so that E[W] = H u; u in [-1, 1] gets dE/du = H dE/dW
 * (section 3.2). The most probable level is stored: sign(u) where |u| >= 1/2. H is the layer's mean
 * magnitude above 0.7 mean |W|, as in ternarize-twn.
 *
 * gradients=powers-of-two also rounds what layers read to powers of two, in the gradients of weights
 * alone (section 4). That saves multiplications of hardware for training, and nothing here: the model is as
 * large and as fast, and the engine multiplies by powers of two as by all other numbers.
 */
export const ternarizeConnect = defineMethod({
  title: "TernaryConnect",
  equation: "W = H sign(u) with probability |u|, else 0, u in [-1, 1]; dE/du = H dE/dW",
  cite: "Lin et al. 2016, arXiv 1510.03009, section 3.2",
  summary: "Trains weights of two bits, -1, 0 or +1 times a scale, drawn at random in every step.",
  needs: ["training"],
  options: z.object({
    rounding: z.enum(["stochastic", "deterministic"]).default("stochastic").meta({
      description:
        "How the latent weight u becomes ternary: +-1 with probability |u|, or if it is 1/2.",
    }),
    gradients: gradientsOption,
    ...innerOptions({ rate: 0.002 }),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  apply: (model, { rounding, gradients, ...options }, context) =>
    trainInner(model, options, context, "-1, 0 and +1, a scale for each layer", (sites) =>
      withGradients(
        sites.map((site) => openDrawn(site, rounding === "stochastic")),
        gradients,
      ),
    ),
});

function openDrawn({ node, value, weight: { shape, values } }: ThetaSite, draws: boolean): Opened {
  const sizes = values.map(Math.abs);
  const mean = meanOf(sizes);
  const scale = Math.fround(meanOf(sizes.filter((size) => size > 0.7 * mean)) || 1);
  const start = values.map((w) => Math.max(-1, Math.min(1, w / scale)));
  const latent: Latent<"latent"> = {
    theta: { latent: { start, shape, min: -1, max: 1 } },
    ...(draws && { feeds: { noise: uniform(shape) } }),
    build(g, { latent: u }, _, { noise }) {
      const middle = g.constant(MIDDLE);
      const threshold = noise ? g.Add(noise, middle) : middle;
      const isUp = indicator(g, g.GreaterOrEqual(u, threshold));
      const isDown = indicator(g, g.LessOrEqual(u, g.Neg(threshold)));
      return g.Mul(g.Add(g.Sub(isUp, isDown), passing(g, u)), g.constant(scale));
    },
    close: ({ latent: u }) =>
      uniformGrid(
        Int8Array.from(u, (x) => Number(x >= MIDDLE) - Number(x <= -MIDDLE)),
        ...([shape, scale, 2] as const),
      ),
  };
  return open({ node, value }, latent);
}

const meanOf = (u: Float32Array): number =>
  u.reduce((sum, x) => sum + x, 0) / Math.max(1, u.length);
