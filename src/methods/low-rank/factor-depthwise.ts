/** @file Convolutions as depthwise separable ones: filters for each channel, then their mixture. */
import { z } from "zod";
import { decomposeDepthwise } from "../../factor/depthwise.ts";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { defineMethod } from "../method.ts";

/**
 * The layer of MobileNet, from a trained convolution: r depthwise filters for each channel and a
 * pointwise layer, by the truncated SVD of each channel's filters [outputs, positions]. At r = 1 it
 * takes 1/outputs + 1/positions of the work.
 */
export const factorDepthwise = defineMethod({
  title: "depthwise separable convolutions",
  equation: "W[n, c, p] ~ sum_r P[n, c, r] D[c, r, p]",
  cite: "Howard et al. 2017, arXiv 1704.04861; Guo et al. 2018, arXiv 1808.05517, theorem 1",
  summary:
    "Replaces a convolution by a depthwise and a pointwise one, the layers that MobileNets are made of.",
  needs: factorNeeds,
  options: z.object(factorOptions),
  survey: [{}],
  neutral: { energy: 1 },
  apply: (model, options, context) => factorLayers(model, options, context, decomposeDepthwise),
});
