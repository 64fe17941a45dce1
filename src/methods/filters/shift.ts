/** @file Convolutions as shifts: each channel is moved by a few positions, and a pointwise layer mixes. */
import { z } from "zod";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { decomposeShift } from "../../factor/shift.ts";
import { defineMethod } from "../method.ts";

/**
 * The shift module, from a trained convolution: r positions of the window for each channel, those that
 * count most, and the pointwise layer that least squares give for them. The shifts are depthwise
 * kernels with a single 1, which a later step may train; factor-depthwise gives whole kernels at the
 * same cost, so that this is the smaller start and not the more exact one.
 */
export const shift = defineMethod({
  title: "shift and pointwise convolutions",
  equation: "W[n, c, p] ~ sum_i P[n, (c, i)] 1(p = p_ci)",
  cite: "Wu et al. 2018, Shift, arXiv 1711.08141",
  summary:
    "Replaces a convolution by shifts of its channels and a pointwise layer that is fitted to them.",
  needs: factorNeeds,
  isStart: true,
  options: z.object(factorOptions),
  survey: [{}],
  neutral: null,
  apply: (model, options, context) => factorLayers(model, options, context, decomposeShift),
});
