/** @file Reconstruction: which channels the readers can do without, the others making up for them. */
import { damped, inverse } from "../numeric/inverse.ts";
import { byReaders, type Products } from "./products.ts";

const DAMPING = 1e-3;

/**
 * Backward elimination: of all units left, again and again the one whose loss costs the readers'
 * outputs least when the other weights are refitted, by the block form of OBS with H = X^T X:
 *   cost(u) = tr(W_u [H^-1]_uu^-1 W_u^T),  W -= W_u [H^-1]_uu^-1 [H^-1]_u
 * (channel selection by reconstruction: He et al. 2017, arXiv 1707.06168; Luo et al. 2017, ThiNet,
 * arXiv 1707.06342). A unit's score is the share of the outputs' energy lost once it is gone.
 */
export const scoreReconstruction = byReaders((units, readers) =>
  eliminate(units, readers.flatMap(systemsOf)),
);

/** One product W X, [rows, n] x [n, records]. */
interface System {
  readonly n: number;
  readonly rows: number;
  readonly w: Float64Array;
  /** (X X^T)^-1. */
  readonly h: Float64Array;
  /** tr(W X X^T W^T), of the whole layer. */
  readonly energy: number;
  columns(unit: number): readonly number[];
}

function systemsOf(reader: Products): System[] {
  const { n, rows, columns, groups } = reader;
  const energy = groups.reduce((sum, { energy }) => sum + energy, 0) || 1;
  return groups.map(({ w, gram }) => ({
    ...{ n, rows, columns, energy },
    w: w.slice(),
    h: inverse(damped(gram, n, DAMPING), n),
  }));
}

function eliminate(units: number, systems: readonly System[]): Float64Array {
  const scores = new Float64Array(units);
  const left = new Set(Array.from({ length: units }, (_, unit) => unit));
  let lost = 0;
  while (left.size > 0) {
    let [best, least] = [-1, Infinity];
    for (const unit of left) {
      const cost = systems.reduce((sum, system) => sum + costOf(system, unit) / system.energy, 0);
      if (cost < least || best < 0) [best, least] = [unit, cost];
    }
    lost += Math.max(0, least) / systems.length;
    // What goes later is worth more, even if it costs nothing.
    scores[best] = lost + (units - left.size) * 1e-12;
    left.delete(best);
    if (left.size > 0) for (const system of systems) removeColumns(system, best);
  }
  return scores;
}

/** [H^-1]_uu^-1, and the columns of the unit. */
function pivotOf({ n, h, columns }: System, unit: number) {
  const own = columns(unit);
  const t = own.length;
  const block = new Float64Array(t * t);
  for (let a = 0; a < t; a++) for (let b = 0; b < t; b++) block[a * t + b] = h[own[a] * n + own[b]];
  if (t === 1) return { own, t, pivot: block.fill(1 / block[0]) };
  // Rounding must not cost it its definiteness.
  for (let a = 0; a < t; a++) block[a * t + a] *= 1 + 1e-9;
  return { own, t, pivot: inverse(block, t) };
}

function costOf(system: System, unit: number): number {
  const { own, t, pivot } = pivotOf(system, unit);
  const { n, rows, w } = system;
  let cost = 0;
  for (let row = 0; row < rows; row++) {
    for (let a = 0; a < t; a++) {
      const left = w[row * n + own[a]];
      if (left === 0) continue;
      for (let b = 0; b < t; b++) cost += left * pivot[a * t + b] * w[row * n + own[b]];
    }
  }
  return cost;
}

function removeColumns(system: System, unit: number): void {
  const { own, t, pivot } = pivotOf(system, unit);
  const { n, rows, w, h } = system;
  const across = own.map((column) => h.slice(column * n, column * n + n));
  const subtract = (matrix: Float64Array, row: number): void => {
    const of = own.map((column) => matrix[row * n + column]);
    for (let b = 0; b < t; b++) {
      let factor = 0;
      for (let a = 0; a < t; a++) factor += of[a] * pivot[a * t + b];
      if (factor === 0) continue;
      for (let j = 0; j < n; j++) matrix[row * n + j] -= factor * across[b][j];
    }
    for (const column of own) matrix[row * n + column] = 0;
  };
  for (let row = 0; row < rows; row++) subtract(w, row);
  for (let row = 0; row < n; row++) subtract(h, row);
}
