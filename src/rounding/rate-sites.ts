/** @file Sites that are quantized at a price per bit, weighted by their inputs and gradients. */
import type { Context } from "../context.ts";
import { gainsOf } from "../evidence/gains.ts";
import { type Moments, momentsOf } from "../evidence/moments.ts";
import type { Model } from "../ir/model.ts";
import { matrixIn, type Rows } from "../layers/rows.ts";
import { damped, inverseFactor } from "../numeric/inverse.ts";
import { uniformGrid, uniformStep } from "../weights/forms/grid.ts";
import type { LayerSite, ThetaSite } from "../weights/sites.ts";
import { bitsOf, type Composed } from "../weights/weight.ts";
import { LARGEST, levelsByRate } from "./by-rate.ts";
import { outputErrors } from "./matrix.ts";
import { byActivation, permuted } from "./propagate.ts";

/** A site that can be quantized at any price. */
export interface RateSite {
  readonly site: ThetaSite;
  /** The distortion of losing all weights. */
  readonly energy: number;
  /** The weight on a uniform grid at `lambda`, the distortion that one bit may cost. */
  quantize(lambda: number): RateTrial;
}

export interface RateTrial {
  readonly weight: Composed;
  readonly distortion: number;
}

export interface RateChoice {
  readonly records: number;
  readonly damping: number;
  readonly kappa: number;
}

/** Gradients take a backward pass for each record, the moments of inputs only a forward pass. */
const FORWARD = 8;

/**
 * The sites whose inputs can be observed and that have a curvature h (evidence/curvature.ts). Their
 * distortion is sum_o g_o dw_o^T H dw_o with H = E[x x^T] + damping and the gains g_o (gains.ts).
 */
export async function hessianLayers(
  model: Model,
  sites: readonly ThetaSite[],
  curvatures: readonly (Float64Array | null)[],
  { records, damping, kappa }: RateChoice,
  context: Context,
): Promise<Map<ThetaSite, RateSite>> {
  const layers = sites.filter((site): site is LayerSite & ThetaSite => site.role !== null);
  const moments = await momentsOf(model, layers, "gram", FORWARD * records, context);
  const made = new Map<ThetaSite, RateSite>();
  for (const [i, site] of sites.entries()) {
    const found = moments.get(site as LayerSite);
    const curvature = curvatures[i];
    if (!found || typeof found === "string" || !curvature) continue;
    made.set(site, hessianSite(site, found, curvature, damping, kappa));
  }
  return made;
}

function hessianSite(
  site: ThetaSite,
  { rows, groups }: Moments,
  curvature: Float64Array,
  damping: number,
  kappa: number,
): RateSite {
  const { values, shape } = site.weight;
  const { columns } = rows;
  const hessians = groups.map((gram) => damped(gram, columns, damping));
  const orders = hessians.map((hessian) => byActivation(hessian, columns));
  const uppers = hessians.map((hessian, g) => inverseFactor(permuted(hessian, orders[g]), columns));
  const gains = gainsOf(rows, groups, curvature);
  const at = placesOf(rows, orders);
  const weight = Float64Array.from(at, (place) => values[place]);
  const energy = hessians.reduce((sum, hessian, group) => {
    const errors = outputErrors(matrixIn(values, rows, group), hessian, columns);
    return errors.reduce((a, e, row) => a + gains[group * rows.rows + row] * e, sum);
  }, 0);
  // What an error of 1 in a weight costs on average, if only later columns make up for it.
  const cost =
    (gains.reduce((a, b) => a + b, 0) / gains.length) *
    (uppers.reduce((sum, upper) => sum + meanPivot(upper, columns), 0) / uppers.length);
  const known = uniformStep(site.weight);
  return {
    site,
    energy,
    quantize(lambda) {
      const step = known ?? stepFor(lambda, cost / kappa ** 2, values);
      const chosen = levelsByRate({ weight, columns, gains, uppers }, step, lambda);
      const q = new Int8Array(values.length);
      for (const [i, place] of at.entries()) q[place] = chosen.q[i];
      return { weight: asGrid(q, shape, step), distortion: chosen.distortion };
    },
  };
}

/** The place in the weight of every element of [groups x rows, columns in the order of the sweep]. */
function placesOf({ groups, rows, columns, at }: Rows, orders: readonly Int32Array[]): Int32Array {
  return Int32Array.from({ length: groups * rows * columns }, (_, i) => {
    const row = Math.floor(i / columns);
    const group = Math.floor(row / rows);
    return at(group, row % rows, orders[group][i % columns]);
  });
}

/** The mean of 1 / U_jj^2. */
function meanPivot(upper: Float64Array, n: number): number {
  let sum = 0;
  for (let j = 0; j < n; j++) sum += 1 / upper[j * n + j] ** 2;
  return sum / n;
}

/**
 * The step of the grid at high rates: where one bit more lowers the distortion cost s^2 / 12 of a
 * weight by lambda, s = sqrt(6 lambda / (ln(2) cost)).
 */
export function stepFor(lambda: number, cost: number, values: Float32Array): number {
  const largest = values.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
  const best = Math.sqrt((6 * lambda) / (Math.LN2 * cost || 1));
  return Math.fround(Math.max(best, largest / LARGEST, 1e-30));
}

/** Levels with one step, in the fewest bits, at least 2. */
export function asGrid(q: Int8Array, shape: readonly number[], step: number): Composed {
  return uniformGrid(q, shape, step, Math.max(2, bitsOf(q, true)));
}
