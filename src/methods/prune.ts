/** @file What unstructured pruning methods share: a score per weight, a target sparsity, zeros. */
import { z } from "zod";
import type { Model } from "../ir/model.ts";
import { withZeros } from "../weights/form.ts";
import type { Context } from "./method.ts";
import { type Site, siteOptions, sitesOf, storeWeight } from "./sites.ts";

export const pruneOptions = z.object({
  sparsity: z
    .number()
    .min(0)
    .max(0.999)
    .default(0.5)
    .meta({ description: "Share of weights set to zero.", search: [0.5, 0.7, 0.8, 0.9, 0.95] }),
  scope: z
    .enum(["layer", "global"])
    .default("layer")
    .meta({
      description: "One threshold for each layer, or one for the whole model.",
      search: ["layer", "global"],
    }),
  ...siteOptions,
});

/** Scores of one layer's weights, higher is kept longer; exact zeros stay zero whatever they score. */
export type Score = (site: Site) => Float32Array;

/** Sets the lowest-scoring weights to zero; ties fall in order, so that results repeat exactly. */
export async function pruneByScore(
  model: Model,
  options: z.output<typeof pruneOptions>,
  context: Context,
  score: Score,
): Promise<void> {
  if (options.sparsity === 0) return;
  const sites = sitesOf(model, options, context);
  const scores = sites.map((site) => withoutZeros(site.weight.values, score(site)));
  const doomed = options.scope === "global" ? lowest(scores, options.sparsity) : null;
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    const falls = doomed ?? lowest([scores[i]], options.sparsity);
    storeWeight(
      site,
      withZeros(site.weight.form, (j) => falls(scores[i][j])),
    );
  }
}

function withoutZeros(values: Float32Array, scores: Float32Array): Float32Array {
  return scores.map((score, i) => (values[i] === 0 ? -Infinity : score));
}

/**
 * A test for "is among the lowest `share` of all scores", to be asked of each score once and in
 * order: of those equal to the threshold only as many fall as the share allows (shared weights tie
 * by the thousand).
 */
function lowest(parts: readonly Float32Array[], share: number): (score: number) => boolean {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  all.sort();
  const count = Math.round(share * all.length);
  if (count === 0) return () => false;
  const cut = all[count - 1];
  let ties = count - all.indexOf(cut);
  return (score) => score < cut || (score === cut && ties-- > 0);
}
