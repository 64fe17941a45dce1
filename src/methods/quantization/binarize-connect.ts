/** @file BinaryConnect: weights of -1 and +1 times one scale, trained through real-valued ones. */
import { z } from "zod";
import type { Value } from "../../ir/graph.ts";
import { tensor } from "../../ir/tensor.ts";
import { learnedOptions, sitesToLearn, trainLevels } from "../../learned/training.ts";
import type { Builder } from "../../ops/builder.ts";
import { product } from "../../util/product.ts";
import type { Shape } from "../../weights/form.ts";
import { uniformGrid } from "../../weights/forms/grid.ts";
import { type Latent, type Opened, open, type StepFeed } from "../../weights/latent.ts";
import type { ThetaSite } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

export const binarizeConnect = defineMethod({
  title: "BinaryConnect",
  cite: "Courbariaux, Bengio, David 2015, arXiv 1511.00363",
  summary: "Trains weights of one bit, -1 or +1 times a scale for each layer.",
  needs: ["training"],
  options: z.object({
    rounding: z.enum(["deterministic", "stochastic"]).default("deterministic").meta({
      description:
        "How the latent weight u becomes binary: its sign, or +1 with probability (u + 1) / 2.",
    }),
    ...learnedOptions(0.005),
  }),
  survey: [],
  neutral: { epochs: 0 },
  async apply(model, { rounding, ...options }, context) {
    const sites = sitesToLearn(model, options, context);
    if (sites.length === 0) return;
    const latents = sites.map((site) => openUp(site, rounding === "stochastic"));
    await trainLevels(model, options, latents, context);
  },
});

/**
 * Opens a weight as W = H sign(u) with u in [-1, 1] (algorithm 1). sign(u) = 2 round((u + 1) / 2) -
 * 1, whose rounding passes gradients straight through. H is the mean magnitude of the layer's
 * weights: networks without normalization depend on the size of their activations.
 */
function openUp({ node, value, weight }: ThetaSite, isStochastic: boolean): Opened {
  const { shape, values } = weight;
  const mean = values.reduce((sum, w) => sum + Math.abs(w), 0) / values.length;
  const scale = Math.fround(mean || 1);
  const start = values.map((w) => Math.max(-1, Math.min(1, w / scale)));
  const latent: Latent<"latent"> = {
    theta: { latent: { start, shape, min: -1, max: 1 } },
    ...(isStochastic && { feeds: { noise: uniform(shape) } }),
    build(g, { latent: u }, _, { noise }) {
      const share = g.Mul(g.Add(u, g.constant(1)), g.constant(0.5));
      return g.Mul(signOf(g, noise ? g.Add(share, noise) : share), g.constant(scale));
    },
    close({ latent: u }) {
      const signs = Int8Array.from(u, (x) => (x > 0 ? 1 : -1));
      return uniformGrid(signs, shape, scale, 1);
    },
  };
  return open({ node, value }, latent);
}

/**
 * -1 or +1 by rounding `share`, the share of +1, with or without noise. What is rounded is clipped
 * afterwards, since share + noise may round to 2: clipping before would stop the gradient wherever
 * the noise leaves [0, 1], which is where u is large.
 */
const signOf = (g: Builder, share: Value): Value =>
  g.Sub(g.Mul(g.Clip(g.Round(share), g.constant(0), g.constant(1)), g.constant(2)), g.constant(1));

/** Noise in [-1/2, 1/2] for each step: rounding share + noise gives +1 with probability `share`. */
function uniform(shape: Shape): StepFeed {
  const size = product(shape);
  return {
    dtype: "float32",
    shape,
    at(_, random) {
      const values = Float32Array.from({ length: size }, () => random.float() - 0.5);
      return tensor("float32", shape, values);
    },
  };
}
