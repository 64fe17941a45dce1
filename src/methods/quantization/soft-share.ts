/** @file Soft weight sharing: training draws weights to the means of a mixture of Gaussians. */
import { z } from "zod";
import { mixtureLatent } from "../../learned/gaussian-mixture.ts";
import { learnedOptions, sitesToLearn, trainLevels } from "../../learned/training.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { open } from "../../weights/latent.ts";
import { defineMethod } from "../method.ts";

/**
 * Trains on E - strength sum_i log p(w_i) with a mixture p for each layer, one component of which
 * stays at zero; afterwards weights are indices into the means. (The paper has one mixture for the
 * whole network. Here each layer has its own, as its codebook does: weights of layers differ in size.)
 */
export const softShare = defineMethod({
  title: "soft weight sharing",
  equation: "min E - strength sum_i log p(w_i), p a mixture of Gaussians; then W_j = mean[i_j]",
  cite: "Ullrich, Meeds, Welling 2017, arXiv 1702.04008; Nowlan, Hinton 1992",
  summary: "Trains weights towards a few shared values, most of them zero, and stores indices.",
  needs: needsOfLoss,
  options: z.object({
    components: z
      .int()
      .min(1)
      .max(255)
      .default(15)
      .meta({
        description: "Gaussians for each layer beside the one at zero.",
        search: [7, 15, 31],
      }),
    zeros: z
      .number()
      .min(0)
      .max(0.9999)
      .default(0.99)
      .meta({
        description: "Share of the Gaussian at zero in the prior; more makes more weights zero.",
        search: [0.9, 0.99, 0.999],
      }),
    strength: z
      .number()
      .min(0)
      .max(1)
      .default(1e-6)
      .meta({
        description: "Factor of the negative log density of the weights in the loss.",
        search: [1e-7, 1e-6, 1e-5],
      }),
    ...learnedOptions(),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, { components, zeros, strength, ...options }, context) {
    const sites = sitesToLearn(model, options, context);
    if (sites.length === 0) return;
    const latents = sites.map((site) => {
      const { values, shape } = site.weight;
      return open(site, mixtureLatent(values, shape, { components, zeros, strength }));
    });
    await trainLevels(model, options, latents, context);
  },
});
