/** @file k-means weight sharing: every weight becomes an index into a small codebook. */
import { z } from "zod";
import { importancesOf, recordsFor, sensitivities } from "../../evidence/importance.ts";
import { calibrationOptions } from "../../evidence/options.ts";
import { kmeans } from "../../numeric/kmeans.ts";
import { entropyKmeans } from "../../numeric/kmeans-entropy.ts";
import { codebookOf, zeroFirst } from "../../weights/forms/codebook.ts";
import { rescueOptions, siteOptions } from "../../weights/select.ts";
import { storeWeight, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * W_j = c[i_j]: a codebook c of 2^bits values per layer and an index i_j per weight that minimize
 * sum_j h_j (w_j - c[i_j])^2, by one-dimensional k-means; h_j is 1 or the weight's importance. With
 * a penalty, that error as a share of the energy plus `penalty` times the entropy of the indices.
 */
export const shareWeights = defineMethod({
  title: "k-means weight sharing",
  equation:
    "W_j = c[i_j], min over c, i: sum_j h_j (W_j - c[i_j])^2, a codebook c of 2^bits values",
  cite: "Han et al. 2016, arXiv 1510.00149, section 3; Choi et al. 2017, arXiv 1612.01543, sections 3, 4",
  summary: "Every weight becomes an index into a small codebook per layer, rebuilt at load.",
  needs: ({ sensitivity }) => recordsFor[sensitivity],
  simplifyFirst: true,
  options: z.object({
    bits: z
      .int()
      .min(1)
      .max(16)
      .default(5)
      .meta({
        description: "The codebook has 2^bits entries; 16 leaves weights as they are.",
        search: [2, 3, 4, 5, 6, 8],
      }),
    init: z
      .enum(["linear", "random", "density", "optimal"])
      .default("linear")
      .meta({
        description:
          "Initial centroids: evenly spaced (linear, which keeps the few large weights), drawn (random), spaced by density, or the optimal ones.",
        search: ["linear", "optimal"],
      }),
    sensitivity: z
      .enum(sensitivities)
      .default("none")
      .meta({
        description:
          "What a squared error is multiplied by: 1 (none), the mean square of the input that the weight multiplies (hessian, needs calibration records), or the squared gradient of the outputs (gradient, needs training records).",
        search: ["none", "hessian", "gradient"],
      }),
    penalty: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .meta({
        description:
          "Price of one bit of the indices' entropy per weight, as a share of the layer's energy: pays in packed files; entries that nothing uses are left out.",
        search: [0, 0.005, 0.02],
      }),
    records: calibrationOptions.records.meta({ description: "Records for the sensitivity." }),
    ...siteOptions,
    ...rescueOptions,
  }),
  survey: [{ bits: 5 }, { bits: 4 }, { bits: 2 }, { bits: 5, penalty: 0.01 }],
  neutral: { bits: 16 },
  async apply(model, { bits, init, sensitivity, penalty, records, ...selection }, context) {
    if (bits === 16) return;
    const sites = thetasOf(model, selection, context);
    const importances = await importancesOf(model, sites, sensitivity, records, context);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { values, shape } = site.weight;
      const count = 2 ** bits;
      if (values.length <= 4 * count) {
        context.skip(
          site.node.name,
          `has ${values.length} weights, too few for ${count} shared ones`,
        );
        continue;
      }
      // Pruned weights become entry 0, so that their positions can be left out of the file.
      const keepZero = values.includes(0);
      const weights = importances[i];
      const options = { keepZero, ...(weights && { weights }) };
      const random = context.random.fork(site.node.name);
      const first = kmeans(values, count, { init, random, ...options });
      const { centroids, index } =
        penalty > 0 ? entropyKmeans(values, first, { lambda: penalty, ...options }) : first;
      const shared = keepZero ? zeroFirst(centroids, index) : { codebook: centroids, index };
      storeWeight(site, codebookOf(shared, shape));
    }
  },
});
