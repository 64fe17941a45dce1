/**
 * @file Weights that are the signs of bounded latent ones (BinaryConnect: Courbariaux, Bengio, David
 * 2015, arXiv 1511.00363).
 */
import { z } from "zod";
import { fromBfloat16, toBfloat16 } from "../numeric/float16.ts";
import { drawnFeed } from "../weights/feeds.ts";
import type { Shape } from "../weights/form.ts";
import { uniformGrid } from "../weights/forms/grid.ts";
import { type Latent, type Opened, open, type StepFeed } from "../weights/latent.ts";
import type { ThetaSite } from "../weights/sites.ts";
import { SCALE_OF_ZEROS } from "./scaled.ts";
import { passing, powersOfTwo, signLevels } from "./straight-through.ts";

/** The option for how latent weights become binary. */
export const roundingOption = z
  .enum(["deterministic", "stochastic"])
  .default("deterministic")
  .meta({
    description:
      "How the latent weight u becomes binary: its sign, or +1 with probability (u + 1) / 2.",
  });

/** The option for what gradients of weights are computed from. */
export const gradientsOption = z.enum(["exact", "powers-of-two"]).default("exact").meta({
  description:
    "powers-of-two: gradients of weights see what layers read with magnitudes rounded to powers of two (quantized back-propagation). That replaces multiplications by shifts in hardware for training; here it saves nothing.",
});

/** Opened weights with such gradients. */
export const withGradients = (
  opened: readonly Opened[],
  gradients: z.output<typeof gradientsOption>,
): readonly Opened[] =>
  gradients === "exact" ? opened : opened.map((one) => ({ ...one, seenAs: powersOfTwo }));

/**
 * Opens a weight as W = H sign(u) with u in [-1, 1] (algorithm 1); gradients pass straight through the
 * sign. H is the mean magnitude of the layer's weights: networks without normalization depend on the
 * size of their activations. Stochastic: sign(u + 2 noise), noise in [-1/2, 1/2].
 *
 * `size`, for a layer that reads signs, is the mean magnitude of what it read before, and a factor of
 * H. H then has 8 significant bits: sums of up to 2^16 times +-H are exact, and one
 * that is 0 has the same sign in every engine.
 */
export function openConnected(
  { node, value, weight }: ThetaSite,
  rounding: z.output<typeof roundingOption>,
  size: number | null = null,
): Opened {
  const { shape, values } = weight;
  const sum = values.reduce((all, w) => all + Math.abs(w), 0);
  const mean = Math.fround(sum / values.length) || SCALE_OF_ZEROS;
  const scale = size === null ? mean : fromBfloat16(toBfloat16(mean * size));
  const start = values.map((w) => Math.max(-1, Math.min(1, w / mean)));
  const latent: Latent<"latent"> = {
    theta: { latent: { start, shape, min: -1, max: 1 } },
    ...(rounding === "stochastic" && { feeds: { noise: uniform(shape) } }),
    build(g, { latent: u }, _, { noise }) {
      const drawn = noise ? g.Add(u, g.Mul(noise, g.constant(2))) : u;
      return g.Mul(g.Add(signLevels(g, drawn), passing(g, u)), g.constant(scale));
    },
    close({ latent: u }) {
      const signs = Int8Array.from(u, (x) => (x >= 0 ? 1 : -1));
      return uniformGrid(signs, shape, scale, 1);
    },
  };
  return open({ node, value }, latent);
}

/** Noise in [-1/2, 1/2] for each step: sign(u + 2 noise) is +1 with probability (u + 1) / 2. */
export const uniform = (shape: Shape): StepFeed =>
  drawnFeed(shape, (random) => random.float() - 0.5);
