/** @file Optimal brain damage: the weights that the outputs of the whole network feel least. */
import { z } from "zod";
import { curvatures } from "./curvature.ts";
import { defineMethod } from "./method.ts";
import { calibrationOptions, pruneByScore, sharedOptions } from "./prune.ts";
import { siteOptions } from "./sites.ts";

/** s = h w^2 / 2, h being the Hessian's diagonal. */
export const pruneObd = defineMethod({
  title: "optimal brain damage",
  family: "pruning",
  cite: "LeCun, Denker, Solla 1990, Optimal Brain Damage, NIPS 2",
  summary: "Sets to zero the weights that move the network's outputs least, by their gradients.",
  needs: ["training"],
  options: z.object({
    ...sharedOptions("layer", "global", "row"),
    ...calibrationOptions,
    ...siteOptions,
  }),
  survey: [],
  neutral: { sparsity: 0 },
  apply: (model, options, context) =>
    pruneByScore(model, options, context, async (sites) => {
      const found = await curvatures(model, sites, options.records, context);
      return sites.map(({ weight: { values }, node }, i) => {
        const h = found[i];
        if (h) return h.map((_, j) => (h[j] * values[j] ** 2) / 2);
        context.warn(`${node.name} has no gradient: scored by magnitude`);
        return Float64Array.from(values, Math.abs);
      });
    }),
});
