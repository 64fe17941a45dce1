/** @file What data say about the layers that are decomposed. */
import type { Context } from "../context.ts";
import { curvatures } from "../evidence/curvature.ts";
import { gainsOf } from "../evidence/gains.ts";
import { type Moments, momentsOf } from "../evidence/moments.ts";
import { whitenersOf } from "../evidence/whitener.ts";
import type { Model } from "../ir/model.ts";
import type { Layer } from "../layers/matrix.ts";
import type { LayerSite } from "../weights/sites.ts";
import type { Evidence } from "./decomposition.ts";
import type { Settled } from "./options.ts";

/** Backward passes are as dear as several forward ones. */
const PASSES = 32;

/**
 * The evidence of each layer; without some, and with a warning, where it cannot be observed. With
 * `isCentred` the inputs' mean is taken off before.
 */
export async function evidenceOf(
  model: Model,
  layers: readonly Layer[],
  options: Settled,
  context: Context,
  isCentred: boolean,
): Promise<(layer: Layer) => Evidence> {
  const { weighting, records } = options;
  if (weighting === "none" || layers.length === 0) return () => ({ whitener: null, gains: null });
  const moments = await momentsOf(model, layers, "gram", records, context);
  const whiteners = await whitenersOf(model, layers, { ...options, isCentred, moments }, context);
  const gains =
    weighting === "fisher" ? await gainsByLayer(model, layers, moments, records, context) : null;
  for (const layer of layers) {
    const found = whiteners.get(layer);
    if (typeof found === "string")
      context.warn(`${layer.node.name} ${found}: factored without data`);
  }
  return (layer) => {
    const found = whiteners.get(layer);
    const whitener = found && typeof found !== "string" ? found : null;
    return { whitener, gains: whitener ? (gains?.get(layer) ?? null) : null };
  };
}

async function gainsByLayer(
  model: Model,
  layers: readonly Layer[],
  moments: ReadonlyMap<LayerSite, Moments | string>,
  records: number,
  context: Context,
): Promise<Map<Layer, Float64Array>> {
  const found = await curvatures(model, layers, Math.min(records, PASSES), context);
  const gains = new Map<Layer, Float64Array>();
  for (const [i, layer] of layers.entries()) {
    const own = moments.get(layer) as Moments | string;
    const curvature = found[i];
    if (typeof own === "string" || !curvature) continue;
    gains.set(layer, gainsOf(own.rows, own.groups, curvature));
  }
  return gains;
}
