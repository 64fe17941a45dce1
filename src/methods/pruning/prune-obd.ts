/** @file Optimal brain damage: removes the weights on which the network's outputs depend least. */
import { z } from "zod";
import { curvatures } from "../../evidence/curvature.ts";
import { calibrationOptions } from "../../evidence/options.ts";
import { rowsOf } from "../../layers/rows.ts";
import { pruneByScore, type Site, sharedOptions } from "../../sparsity/by-score.ts";
import { siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/** s_i = h_i w_i^2 / 2, h being the diagonal of the Hessian (evidence/curvature.ts). */
export const pruneObd = defineMethod({
  title: "optimal brain damage",
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
      return sites.map((site, i) => {
        const { values } = site.weight;
        const h = found[i] && levelled(site, found[i]);
        if (h) return h.map((_, j) => (h[j] * values[j] ** 2) / 2);
        context.warn(`${site.node.name} has no gradient: scored by magnitude`);
        return Float64Array.from(values, Math.abs);
      });
    }),
});

/**
 * The curvature of an embedding, averaged over its rows: a token that did not occur in the records
 * has no gradient, but is not worthless. Other weights keep theirs.
 */
function levelled(site: Site, h: Float64Array): Float64Array {
  const view = rowsOf(site);
  if (site.role?.kind !== "embedding" || typeof view === "string") return h;
  const mean = new Float64Array(view.columns);
  const shared = h.slice();
  for (let row = 0; row < view.rows; row++) {
    for (let j = 0; j < view.columns; j++) mean[j] += h[view.at(0, row, j)] / view.rows;
  }
  for (let row = 0; row < view.rows; row++) {
    for (let j = 0; j < view.columns; j++) shared[view.at(0, row, j)] = mean[j];
  }
  return shared;
}
