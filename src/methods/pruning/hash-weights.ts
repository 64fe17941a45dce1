/** @file HashedNets: a hash selects a stored value for each weight; no index is stored. */
import { z } from "zod";
import { fitHashed, PRIME } from "../../weights/forms/hashed.ts";
import { siteOptions } from "../../weights/select.ts";
import { storeWeight, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

export const hashWeights = defineMethod({
  title: "hashed weights (HashedNets)",
  cite: "Chen et al. 2015, arXiv 1504.04788, eq. 4-7",
  summary: "Weights share values by a hash of their place: no index in the file; train after it.",
  needs: [],
  isStart: true,
  options: z.object({
    ratio: z
      .number()
      .min(1)
      .max(1024)
      .default(8)
      .meta({ description: "Weights per stored value; 1 leaves all as they are.", search: [2, 8] }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: { ratio: 1 },
  async apply(model, { ratio, ...selection }, context) {
    if (ratio === 1) return;
    const sites = thetasOf(model, selection, context, 4096);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { weight, node } = site;
      const { values, shape } = weight;
      if (values.length >= PRIME) {
        context.skip(node.name, `has ${values.length} weights; the hash takes ${PRIME} at most`);
        continue;
      }
      const count = Math.ceil(values.length / ratio);
      const random = context.random.fork(node.name);
      const parts = fitHashed(values, shape, count, random);
      storeWeight(site, parts);
    }
  },
});
