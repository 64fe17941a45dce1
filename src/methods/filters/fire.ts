/** @file Convolutions as fire modules: few channels, then filters of one position and whole ones. */
import { z } from "zod";
import { decomposeFire } from "../../factor/fire.ts";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { defineMethod } from "../method.ts";

/**
 * The module of SqueezeNet, from a trained convolution: a pointwise layer squeezes the channels, and
 * half of the outputs read one position of what it gives, the others a whole window. The file of the
 * maths (factor/fire.ts) tells what is fitted; the result is a start for training.
 */
export const fire = defineMethod({
  title: "fire modules",
  equation: "W[n, c, p] ~ sum_k E1[n, k] V[k, c] 1(p = middle), or sum_k E3[n, k, p] V[k, c]",
  cite: "Iandola et al. 2016, SqueezeNet, arXiv 1602.07360",
  summary:
    "Replaces a convolution by a squeeze layer and expansions, half of them pointwise: the module of SqueezeNet.",
  needs: factorNeeds,
  isStart: true,
  options: z.object(factorOptions),
  survey: [{}],
  neutral: null,
  apply: (model, options, context) => factorLayers(model, options, context, decomposeFire),
});
