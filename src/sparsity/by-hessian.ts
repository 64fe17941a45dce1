/** @file Shared by methods that prune a layer by its Hessian and update the remaining weights. */
import type { Context } from "../context.ts";
import { type Moments, momentsOf } from "../evidence/moments.ts";
import { momentOptions } from "../evidence/options.ts";
import type { Model } from "../ir/model.ts";
import { matrixIn, storeMatrix } from "../layers/rows.ts";
import { damped } from "../numeric/inverse.ts";
import { siteOptions } from "../weights/select.ts";
import { type LayerSite, layersOf, storeWeight } from "../weights/sites.ts";
import { leaf } from "../weights/weight.ts";
import { removedBy, setZero } from "./by-score.ts";

/** Options of every method that inverts a Hessian. */
export const hessianOptions = {
  ...momentOptions,
  ...siteOptions,
};

interface Options {
  readonly sparsity: number;
  readonly pattern: string;
  readonly damping: number;
  readonly records: number;
  readonly only: readonly string[];
  readonly except: readonly string[];
}

/**
 * One group of a layer as y = W x, with the Hessian H = E[x x^T] + damping of its squared output
 * error |dW x|^2.
 */
export interface HessianLayer {
  /** W [rows, columns], row-major; the method changes it in place. */
  readonly weight: Float64Array;
  readonly rows: number;
  readonly columns: number;
  /** H [columns, columns]; `damping` times the mean of its diagonal is added to the diagonal. */
  readonly hessian: Float64Array;
}

/**
 * Calls `prune` for every group of every chosen layer and stores the weights that it leaves. Layers
 * whose inputs cannot be observed are pruned by magnitude instead, with a warning.
 */
export async function pruneByHessian(
  model: Model,
  options: Options,
  context: Context,
  prune: (layer: HessianLayer) => void,
): Promise<void> {
  if (options.sparsity === 0 && options.pattern === "") return;
  const sites = layersOf(model, options, context);
  const moments = await momentsOf(model, sites, "gram", options.records, context);
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    const found = moments.get(site) as Moments | string;
    if (typeof found !== "string") treat(site, found, options.damping, prune);
    else {
      context.warn(`${site.node.name} ${found}: pruned by magnitude`);
      const scores = [site.weight.values.map(Math.abs)];
      const [removed] = removedBy([site], scores, { ...options, scope: "layer" }, context);
      setZero(site, removed);
    }
  }
}

/** Prunes one layer, group by group, in float64. */
function treat(
  site: LayerSite,
  { rows, groups: grams }: Moments,
  damping: number,
  prune: (layer: HessianLayer) => void,
): void {
  const values = site.weight.values.slice();
  for (const [group, gram] of grams.entries()) {
    const weight = matrixIn(values, rows, group);
    const hessian = damped(gram, rows.columns, damping);
    prune({ weight, rows: rows.rows, columns: rows.columns, hessian });
    storeMatrix(values, rows, group, weight);
  }
  storeWeight(site, leaf(values, site.weight.shape));
}
