/** @file PACT: activations on a grid below a learned clipping level, weights with a learned step. */
import { z } from "zod";
import { openLevels, storedOn } from "../../learned/inputs.ts";
import { evenLevels, openOnGrid, roundTo, stepFrom } from "../../learned/step.ts";
import { detached } from "../../learned/straight-through.ts";
import { openTanh } from "../../learned/tanh.ts";
import { bitsOption, learnedOptions, sitesToLearn, trainLevels } from "../../learned/training.ts";
import type { Range } from "../../numeric/calibrate.ts";
import type { Latent } from "../../weights/latent.ts";
import { defineMethod } from "../method.ts";

/**
 * y = clip(x, 0, alpha) (eq. 1), rounded to n = 2^bits - 1 steps of alpha / n (eq. 2). Rounding passes
 * gradients straight through, its step included, so that dy/dalpha = 1(x >= alpha) (eq. 3); LSQ adds
 * the share of the rounding error. Weight decay keeps alpha from growing: without it
 * alpha only follows the few values above it.
 *
 * Weights are on LSQ's grid, so that this method and quantize-lsq differ in their activations alone;
 * with weights=dorefa on DoReFa's levels, as in the paper (section 4).
 */
export const quantizePact = defineMethod({
  title: "parameterized clipping activation (PACT)",
  equation:
    "y = clip(x, 0, alpha) in steps of alpha / (2^bits - 1), alpha learns, dy/dalpha = 1(x >= alpha)",
  cite: "Choi et al. 2018, arXiv 1805.06085",
  summary: "Trains activations clipped at a learned level, and weights, on grids of a few bits.",
  needs: ["calibration", "training"],
  options: z.object({
    bits: bitsOption(4, 2).meta({ description: "Bits of a weight.", search: [2, 3, 4] }),
    activations: bitsOption(4, 1).meta({
      description: "Bits of what layers read.",
      search: [2, 4],
    }),
    weights: z
      .enum(["lsq", "dorefa"])
      .default("lsq")
      .meta({
        description:
          "Levels of weights: lsq, a grid with a learned step; dorefa, 2^bits even ones through tanh.",
        search: ["lsq", "dorefa"],
      }),
    ends: bitsOption(8, 2).meta({ description: "Bits of both, in the first and the last layer." }),
    decay: z
      .number()
      .min(0)
      .default(0.0002)
      .meta({ description: "Weight decay of the clipping levels.", search: [0.0002, 0.002] }),
    ...learnedOptions(),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, { bits, activations, weights: levels, ends, decay, ...options }, context) {
    const sites = sitesToLearn(model, options, context);
    if (sites.length === 0) return;
    const opened = await openLevels(model, sites, { bits, activations, ends }, context, {
      weight: levels === "dorefa" ? openTanh : openOnGrid,
      input: (range, own) => clipped(range, own, decay),
    });
    await trainLevels(model, options, opened, context);
  },
});

/** An activation below its clipping level; between -alpha and alpha where it may be negative. */
function clipped({ min, max }: Range, bits: number, decay: number): Latent<"alpha"> {
  const levels = evenLevels(min, bits);
  const { greatest } = levels;
  return {
    theta: { alpha: stepFrom(Math.fround(Math.max(max, -min, 1e-8))) },
    build(g, { alpha }, x) {
      const step = g.Div(detached(g, alpha), g.constant(greatest));
      const low = min < 0 ? g.Neg(alpha) : g.constant(0);
      return roundTo(g, g.Clip(x, low, alpha), step, levels);
    },
    // Its gradient is decay alpha, that of weight decay.
    penalty: (g, { alpha }) => g.Mul(g.Mul(alpha, alpha), g.constant(decay / 2)),
    close: ({ alpha: [own] }) => storedOn(levels, Math.fround(own / greatest)),
  };
}
