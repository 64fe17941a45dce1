/** @file What the methods share that prune a layer by its Hessian and let the other weights make up. */
import { z } from "zod";
import type { Context } from "../context.ts";
import { type Moments, momentsOf } from "../evidence/moments.ts";
import type { Model } from "../ir/model.ts";
import { damped } from "../numeric/inverse.ts";
import { siteOptions } from "../weights/select.ts";
import { type LayerSite, layersOf, storeWeight } from "../weights/sites.ts";
import { leaf } from "../weights/weight.ts";
import { calibrationOptions, removedBy, setZero } from "./by-score.ts";

export const hessianOptions = {
  damping: z
    .number()
    .min(1e-6)
    .max(1)
    .default(0.01)
    .meta({ description: "Added to the Hessian's diagonal, as a share of its mean." }),
  ...calibrationOptions,
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

/** One group of a layer: y = W x with H = E x x^T, damped. */
export interface HessianLayer {
  /** [rows, columns]; to be changed in place. */
  readonly weight: Float64Array;
  readonly rows: number;
  readonly columns: number;
  readonly hessian: Float64Array;
}

/** Gives every layer to `prune`; those without a Hessian are pruned by magnitude, with a warning. */
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

function treat(
  site: LayerSite,
  { rows: { groups, rows, columns, at }, groups: grams }: Moments,
  damping: number,
  prune: (layer: HessianLayer) => void,
): void {
  const values = site.weight.values.slice();
  for (let group = 0; group < groups; group++) {
    const weight = new Float64Array(rows * columns);
    for (let i = 0; i < weight.length; i++) {
      weight[i] = values[at(group, Math.floor(i / columns), i % columns)];
    }
    prune({ weight, rows, columns, hessian: damped(grams[group], columns, damping) });
    for (let i = 0; i < weight.length; i++) {
      values[at(group, Math.floor(i / columns), i % columns)] = weight[i];
    }
  }
  storeWeight(site, leaf(values, site.weight.shape));
}
