/** @file Soft weight sharing: training draws weights to the means of a mixture of Gaussians. */
import { z } from "zod";
import { mixtureLatent } from "../../sparsity/gaussian-mixture.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import { open, openable } from "../../weights/latent.ts";
import { siteOptions } from "../../weights/select.ts";
import { thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

const { epochs, steps, batch, rate, loss, temperature, alpha, augment } = trainOptions.shape;

/**
 * Trains on E - strength sum_i log p(w_i) with a mixture p for each layer, one component of which
 * stays at zero; afterwards weights are indices into the means. (The paper has one mixture for the
 * whole network; here layers differ in size, and each file entry has a codebook of its own.)
 */
export const softShare = defineMethod({
  title: "soft weight sharing",
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
      .min(0.01)
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
    ...{ epochs, steps, batch, rate, loss, temperature, alpha, augment },
    ...siteOptions,
  }),
  survey: [],
  neutral: { epochs: 0 },
  async apply(model, { components, zeros, strength, ...options }, context) {
    if (options.epochs === 0 && options.steps === 0) return;
    const sites = openable(thetasOf(model, options, context), model, context);
    if (sites.length === 0) return;
    const latents = sites.map((site) => {
      const { values, shape } = site.weight;
      return open(site, mixtureLatent(values, shape, { components, zeros, strength }));
    });
    // The best score on held-out records would be an early one, before weights have gathered.
    await context.train(model, { ...options, holdout: 0, keep: "last" }, { latents });
  },
});
