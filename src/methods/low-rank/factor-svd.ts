/** @file Truncated SVD: one layer is replaced by two thin ones. */
import { z } from "zod";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { decomposeSvd } from "../../factor/svd.ts";
import { defineMethod } from "../method.ts";

/**
 * W [m, n] ~ U V with U [m, r] and V [r, n], by truncated SVD of W, or with data of W S, S S^T =
 * E[x x^T]: then the sum of squared singular values is the energy of the layer's outputs instead of
 * that of its weights. Which r each layer gets is decided in factor/.
 */
export const factorSvd = defineMethod({
  title: "truncated SVD",
  cite: "Denil et al. 2013, arXiv 1306.0543; Denton et al. 2014, arXiv 1404.0736; Wang et al. 2024, arXiv 2403.07378",
  summary:
    "Replaces a layer by two thin ones, W = U V of a rank low enough that they do less work.",
  needs: factorNeeds,
  options: z.object(factorOptions),
  survey: [{}, { change: 0.05 }],
  neutral: { energy: 1 },
  apply: (model, options, context) =>
    factorLayers(model, options, context, decomposeSvd, { tables: true }),
});
