/** @file Tucker decomposition: a convolution becomes 1 x 1, a thin d x d core, and 1 x 1. */
import { z } from "zod";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { decomposeTucker } from "../../factor/tucker.ts";
import { defineMethod } from "../method.ts";

export const factorTucker = defineMethod({
  title: "Tucker decomposition",
  equation: "K[n,c,i,j] = sum_ab L[n,a] G[a,b,i,j] R[b,c], L and R orthonormal",
  cite: "Kim et al. 2016, arXiv 1511.06530, section 3",
  summary:
    "Replaces a d x d convolution by a 1 x 1, a thinner d x d and a 1 x 1 one; one side may stay whole.",
  needs: factorNeeds,
  options: z.object(factorOptions),
  survey: [{}, { change: 0.05 }],
  neutral: { energy: 1 },
  apply: (model, options, context) => factorLayers(model, options, context, decomposeTucker),
});
