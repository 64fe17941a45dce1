/** @file k-means weight sharing: every weight becomes an index into a small codebook. */
import { z } from "zod";
import { kmeans } from "../../numeric/kmeans.ts";
import { codebookOf, zeroFirst } from "../../weights/forms/codebook.ts";
import { siteOptions } from "../../weights/select.ts";
import { storeWeight, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * W_j = c[i_j]: a codebook c of 2^bits values per layer and an index i_j per weight that minimize
 * sum_j (w_j - c[i_j])^2, by one-dimensional k-means.
 */
export const shareWeights = defineMethod({
  title: "k-means weight sharing",
  cite: "Han et al. 2016, arXiv 1510.00149, section 3",
  summary: "Every weight becomes an index into a small codebook per layer, rebuilt at load.",
  needs: [],
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
    ...siteOptions,
  }),
  survey: [{ bits: 5 }, { bits: 4 }, { bits: 2 }],
  neutral: { bits: 16 },
  async apply(model, { bits, init, only, except }, context) {
    if (bits === 16) return;
    const sites = thetasOf(model, { only, except }, context);
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
      const { centroids, index } = kmeans(values, count, {
        init,
        keepZero,
        random: context.random.fork(site.node.name),
      });
      const shared = keepZero ? zeroFirst(centroids, index) : { codebook: centroids, index };
      storeWeight(site, codebookOf(shared, shape));
    }
  },
});
