/** @file CP decomposition: a convolution becomes 1 x 1, one depthwise per axis, and 1 x 1. */
import { z } from "zod";
import { decomposeCp } from "../../factor/cp.ts";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { defineMethod } from "../method.ts";

/**
 * K[n, c, i, j] ~ sum_r N[r, n] C[r, c] I[r, i] J[r, j] by alternating least squares, with the norms of
 * the terms bounded. The most weights saved of all shapes here, and the slowest to train afterwards:
 * small rates are needed.
 */
export const factorCp = defineMethod({
  title: "CP decomposition",
  equation: "min |K - sum_r N_r o C_r o I_r o J_r|^2 + guard sum_r |N_r|^2 |C_r|^2 |I_r|^2 |J_r|^2",
  cite: "Lebedev et al. 2015, arXiv 1412.6553; Phan et al. 2020, arXiv 2008.05441",
  summary:
    "Replaces a d x d convolution by a 1 x 1, a d x 1 and a 1 x d depthwise, and a 1 x 1 one.",
  needs: factorNeeds,
  options: z.object({
    ...factorOptions,
    guard: z.number().min(1e-9).max(1).default(1e-4).meta({
      description:
        "Weight of the terms' squared norms beside the squared error: larger ones cancel less and train better.",
    }),
  }),
  survey: [{}, { change: 0.05 }],
  neutral: { energy: 1 },
  apply: (model, options, context) => factorLayers(model, options, context, decomposeCp),
});
