/** @file Truncated SVD: one layer becomes two thin ones. */
import { z } from "zod";
import type { Node } from "../../ir/graph.ts";
import { type Layer, layerOf } from "../../layers/matrix.ts";
import { replaceLayer } from "../../layers/replace.ts";
import { transpose } from "../../numeric/matrix.ts";
import { energyRank, type Svd, svd, truncate } from "../../numeric/svd.ts";
import { siteOptions } from "../../weights/select.ts";
import { sitesOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

export const factorSvd = defineMethod({
  title: "truncated SVD",
  cite: "Denil et al. 2013, arXiv 1306.0543; Denton et al. 2014, arXiv 1404.0736",
  summary:
    "W = U V with few columns: two thin layers do less work than one, below the break-even rank.",
  needs: [],
  options: z.object({
    energy: z
      .number()
      .min(0.01)
      .max(1)
      .default(0.9)
      .meta({
        description:
          "Share of the squared singular values to keep; decides the rank of each layer.",
        search: [0.7, 0.8, 0.9, 0.95],
      }),
    multiple: z
      .int()
      .min(1)
      .max(64)
      .default(8)
      .meta({
        description: "Ranks above this are rounded up to a multiple of it; engines like 8 or 16.",
        search: [8, 16],
      }),
    ...siteOptions,
  }),
  survey: [{ energy: 0.9 }, { energy: 0.7 }],
  neutral: { energy: 1 },
  async apply(model, options, context) {
    const sites = sitesOf(model, options, context, 1024);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const layer = layerOf(site);
      const why = typeof layer === "string" ? layer : factor(layer, options);
      if (why !== null) context.skip(site.node.name, why);
    }
  },
});

/**
 * W = U diag(s) V^T, cut to the least rank r that keeps the energy:
 *   y = W x + b  ->  y = (U_r diag(s_r)^1/2) ((diag(s_r)^1/2 V_r^T) x) + b
 * if it takes less work, r (m + n) < m n for W [m, n]; else gives the reason.
 */
function factor(
  layer: Layer,
  { energy, multiple }: { readonly energy: number; readonly multiple: number },
): string | null {
  const { matrix, outputs, inputs, kernel } = layer;
  const columns = matrix.length / outputs;
  const parts = svd(matrix, outputs, columns);
  const wanted = energyRank(parts.s, energy);
  const rank = wanted > multiple ? Math.ceil(wanted / multiple) * multiple : wanted;
  const breakEven = (outputs * columns) / (outputs + columns);
  if (rank >= breakEven) {
    return `needs rank ${rank}; only ${Math.ceil(breakEven) - 1} or less would save work`;
  }
  const { down, up } = factorsOf(truncate(parts, rank));
  const added = replaceLayer(layer, [
    { name: "down", shape: [rank, inputs, ...kernel], values: down },
    { name: "up", shape: [outputs, rank, ...kernel.map(() => 1)], values: up },
  ]);
  if (typeof added === "string") return added;
  keepNames(layer, added);
  return null;
}

/** down [rank, columns], up [rows, rank]: each takes half of the singular values, so both are alike. */
function factorsOf({ u, s, v, rows, cols, rank }: Svd) {
  const down = transpose(v, cols, rank);
  const up = new Float64Array(rows * rank);
  for (let k = 0; k < rank; k++) {
    const root = Math.sqrt(s[k]);
    for (let j = k * cols; j < (k + 1) * cols; j++) down[j] *= root;
    for (let i = 0; i < rows; i++) up[i * rank + k] = root * u[i * rank + k];
  }
  return { down, up };
}

/** Nodes are named as in files that earlier versions wrote: `<layer>/Conv` where the stage is "up". */
function keepNames({ kind, node }: Layer, [down, up]: readonly Node[]): void {
  if (kind === "linear") down.name = down.output.name = `${node.name}/${down.op}`;
  up.name = `${node.name}/${up.op}`;
}
