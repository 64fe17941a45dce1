/** @file Ghost modules: part of the filters stay, and depthwise copies of their outputs do for the rest. */
import { z } from "zod";
import { decomposeGhost } from "../../factor/ghost.ts";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { defineMethod } from "../method.ts";

/**
 * The module of GhostNet, from a trained convolution: up to half of the outputs become 3x3 depthwise
 * copies of others, chosen and fitted by least squares. "Ranks" are the filters that stay. Trained
 * filters are seldom alike, so that the result is a start for training.
 */
export const ghost = defineMethod({
  title: "ghost modules",
  equation: "W_j ~ D_j * W_i for the ghosts j, * a convolution and i the primary of j",
  cite: "Han et al. 2020, GhostNet, arXiv 1911.11907",
  summary:
    "Keeps part of a convolution's filters; cheap depthwise copies of their outputs replace the others.",
  needs: factorNeeds,
  isStart: true,
  options: z.object(factorOptions),
  survey: [{}],
  neutral: null,
  apply: (model, options, context) => factorLayers(model, options, context, decomposeGhost),
});
