/** @file PCA of a layer's responses: its outputs are computed in the few directions they vary in. */
import { z } from "zod";
import { factorLayers } from "../../factor/layers.ts";
import { factorNeeds, factorOptions } from "../../factor/options.ts";
import { decomposeSvd } from "../../factor/svd.ts";
import { defineMethod } from "../method.ts";

/**
 * With P_r [m, r] the leading eigenvectors of the responses' covariance, Cov(y) = W Cov(x) W^T,
 *   y = W x + b  ->  y' = P_r (P_r^T W x) + b + (W - P_r P_r^T W) E[x]
 * (Zhang et al. 2015, section 3.1). The eigenvectors are the left singular vectors of W S with S S^T
 * = Cov(x), so that this is the truncated SVD weighted by centred inputs: what all inputs have in
 * common costs no rank. The repair fits P_r to the original outputs from the inputs that the factored
 * layers before it give, which is the paper's asymmetric version (section 3.2) without the
 * activation.
 */
export const factorResponse = defineMethod({
  title: "PCA of responses",
  equation: "y' = P P^T W x + b + (W - P P^T W) E[x], P: leading eigenvectors of Cov(y)",
  cite: "Zhang et al. 2015, arXiv 1505.06798",
  summary: "Two thin layers in the place of one: its outputs in the directions that they vary in.",
  needs: (options) => [...new Set(["calibration" as const, ...factorNeeds(options)])],
  options: z.object(factorOptions),
  survey: [],
  neutral: { energy: 1 },
  apply(model, options, context) {
    const isOpen = options.weighting === "auto" && options.energy > 0;
    const weighting = isOpen ? "activations" : options.weighting;
    const given = { ...options, weighting };
    return factorLayers(model, given, context, decomposeSvd, { isCentred: true });
  },
});
