/** @file DoReFa: weights through tanh onto even levels, activations below a fixed bound. */
import { z } from "zod";
import { openLevels, storedOn } from "../../learned/inputs.ts";
import { evenLevels, roundTo } from "../../learned/step.ts";
import { openTanh } from "../../learned/tanh.ts";
import { bitsOption, learnedOptions, sitesToLearn, trainLevels } from "../../learned/training.ts";
import type { Range } from "../../numeric/calibrate.ts";
import type { Latent } from "../../weights/latent.ts";
import { defineMethod } from "../method.ts";

/**
 * W = H (2 q(tanh(u) / (2 max |tanh u|) + 1/2) - 1), q(r) = round((2^bits - 1) r) / (2^bits - 1)
 * (eq. 9; learned/tanh.ts), and a q(clip(x / a, 0, 1)) for what layers read (section 2.5). The paper's a
 * is 1, since its networks learn to stay below; here it is fitted to calibration records, and fixed.
 * A weight has no level 0.
 *
 * The paper also rounds gradients (section 2.4), which saves work of training hardware and nothing of the
 * model; that is left out.
 */
export const quantizeDorefa = defineMethod({
  title: "DoReFa-Net",
  equation:
    "W = H (2 q(tanh(u) / (2 max |tanh u|) + 1/2) - 1), q(r) = round((2^bits - 1) r) / (2^bits - 1)",
  cite: "Zhou et al. 2016, arXiv 1606.06160",
  summary:
    "Trains weights of few bits through tanh, and activations of few bits below a fixed bound.",
  needs: ({ activations }) => (activations === 0 ? ["training"] : ["calibration", "training"]),
  options: z.object({
    bits: bitsOption(4, 2).meta({ description: "Bits of a weight.", search: [2, 3, 4] }),
    activations: bitsOption(4, 0).meta({
      description: "Bits of what layers read; 0 leaves it float.",
      search: [0, 2, 4],
    }),
    ends: bitsOption(8, 2).meta({ description: "Bits of both, in the first and the last layer." }),
    ...learnedOptions(),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, { bits, activations, ends, ...options }, context) {
    const sites = sitesToLearn(model, options, context);
    if (sites.length === 0) return;
    const opened = await openLevels(model, sites, { bits, activations, ends }, context, {
      weight: openTanh,
      input: bounded,
    });
    await trainLevels(model, options, opened, context);
  },
});

/** An activation below a fixed bound; between -a and a where it may be negative. */
function bounded({ min, max }: Range, bits: number): Latent<never> {
  const levels = evenLevels(min, bits);
  const step = Math.fround(Math.max(max, -min, 1e-8) / levels.greatest);
  return {
    theta: {},
    build: (g, _, x) => roundTo(g, x, g.constant(step), levels),
    close: () => storedOn(levels, step),
  };
}
