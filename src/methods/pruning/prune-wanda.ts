/** @file Wanda: the score of a weight is its magnitude times the norm of its input. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { type Moments, momentsOf } from "../../evidence/moments.ts";
import { calibrationOptions } from "../../evidence/options.ts";
import type { Model } from "../../ir/model.ts";
import { pruneByScore, sharedOptions } from "../../sparsity/by-score.ts";
import { siteOptions } from "../../weights/select.ts";
import { type LayerSite, layersOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * s_ij = |W_ij| |X_j| with |X_j| the norm of input j over all records and, for convolutions, over
 * all window positions. The paper compares scores within a row (language models); layers of
 * LeNet-5, ResNet-20 and a small transformer had less error with one threshold per layer
 * (test/long/prune-order.long.test.ts).
 */
export const pruneWanda = defineMethod({
  title: "pruning by weights and activations (Wanda)",
  cite: "Sun et al. 2024, arXiv 2306.11695",
  summary:
    "Sets to zero what adds least to each output, weight times input: one pass over the data.",
  needs: ["calibration"],
  options: z.object({
    ...sharedOptions("layer", "row", "global"),
    ...calibrationOptions,
    ...siteOptions,
  }),
  survey: [{ sparsity: 0.5 }],
  neutral: { sparsity: 0 },
  apply: (model, options, context) =>
    pruneByScore<LayerSite>(
      model,
      options,
      context,
      (sites) => weightTimesInput(model, sites, options.records, context),
      layersOf,
    ),
});

/**
 * |W_ij| |X_j| for every weight, in the weight's own order. Layers whose input cannot be observed
 * are scored by |W_ij| alone, with a warning.
 */
export async function weightTimesInput(
  model: Model,
  sites: readonly LayerSite[],
  records: number,
  context: Context,
): Promise<Float32Array[]> {
  const moments = await momentsOf(model, sites, "squares", records, context);
  return sites.map((site) => {
    const found = moments.get(site) as Moments | string;
    const scores = site.weight.values.map(Math.abs);
    if (typeof found === "string") {
      context.warn(`${site.node.name} ${found}: scored by magnitude`);
      return scores;
    }
    const { rows } = found;
    for (const [group, squares] of found.groups.entries()) {
      const norms = squares.map(Math.sqrt);
      for (let row = 0; row < rows.rows; row++) {
        for (let j = 0; j < rows.columns; j++) scores[rows.at(group, row, j)] *= norms[j];
      }
    }
    return scores;
  });
}
