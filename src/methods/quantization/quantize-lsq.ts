/** @file LSQ: weights and activations on grids of a few bits whose step sizes are learned. */
import { z } from "zod";
import { openLevels, storedOn } from "../../learned/inputs.ts";
import { type Falling, fallingBits } from "../../learned/stages.ts";
import { gridFor, openOnGrid, roundTo, stepFrom } from "../../learned/step.ts";
import { bitsOption, learnedOptions, sitesToLearn, trainLevels } from "../../learned/training.ts";
import type { Range } from "../../numeric/calibrate.ts";
import type { Latent } from "../../weights/latent.ts";
import { defineMethod } from "../method.ts";

/**
 * y = s clip(round(x / s), least, greatest), one learned step s per weight and per activation;
 * gradients of x and of s pass the rounding straight through.
 */
export const quantizeLsq = defineMethod({
  title: "learned step size quantization (LSQ)",
  equation: "y = s clip(round(x / s), least, greatest), s learns with the weights",
  cite: "Esser et al. 2020, arXiv 1902.08153",
  summary:
    "Trains weights and activations on grids of a few bits; the step of each grid learns as well.",
  needs: ({ activations }) => (activations === 0 ? ["training"] : ["calibration", "training"]),
  options: z.object({
    bits: bitsOption(4, 2).meta({ description: "Bits of a weight.", search: [2, 3, 4] }),
    activations: bitsOption(4, 0).meta({
      description: "Bits of what layers read; 0 leaves it float.",
      search: [0, 4, 8],
    }),
    ends: bitsOption(8, 2).meta({ description: "Bits of both, in the first and the last layer." }),
    from: bitsOption(0, 0).meta({
      description: "Bits to begin with, which are halved in stages; 0: the final ones at once.",
      search: [0, 8],
    }),
    ...learnedOptions(),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, { bits, activations, ends, from, ...options }, context) {
    const sites = sitesToLearn(model, options, context);
    if (sites.length === 0) return;
    const falling = fallingBits(from);
    const opened = await openLevels(model, sites, { bits, activations, ends }, context, {
      weight: (site, own) => openOnGrid(site, own, falling),
      input: (range, own) => onGrid(range, own, falling),
    });
    await trainLevels(model, options, opened, context, { begin: falling.begin });
  },
});

/** An activation on a grid whose step learns. */
function onGrid(range: Range, bits: number, falling: Falling): Latent<"step"> {
  const { levels, step: first } = gridFor(range, bits);
  return {
    theta: { step: stepFrom(first) },
    ...falling.feeds(bits),
    build: (g, { step }, x, { finer }) => roundTo(g, x, step, levels, finer),
    close: ({ step: [s] }) => storedOn(levels, s),
  };
}
