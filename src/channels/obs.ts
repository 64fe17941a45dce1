/** @file Optimal brain surgeon for channels: they go one by one, and the other weights are refitted. */
import { damped, inverse } from "../numeric/inverse.ts";
import { eliminateUnits } from "./eliminate.ts";
import { byReaders, type Products } from "./products.ts";

/** Added to the diagonal of X X^T as a share of its mean, so that the inverse exists. */
const DAMPING = 1e-3;

/**
 * Optimal brain surgeon (Hassibi, Stork 1993) for all columns of a unit at once (Kurtic et al. 2023,
 * ZipLM, arXiv 2302.04089). Again and again the unit is removed whose loss changes the
 * readers' outputs least when all other weights are refitted, with H = X X^T:
 *   cost(u) = tr(W_u [H^-1]_uu^-1 W_u^T),   W -= W_u [H^-1]_uu^-1 [H^-1]_u,:
 *   H^-1 -= [H^-1]_:,u [H^-1]_uu^-1 [H^-1]_u,:
 * The score of a unit is the share of a reader's energy |W X|^2 that is lost once it and all units
 * before it are removed, averaged over the readers.
 */
export const scoreObs = byReaders((units, readers) => {
  const systems = readers.flatMap(systemsOf);
  return eliminateUnits(
    units,
    (unit) =>
      systems.reduce((sum, system) => sum + costOf(system, unit) / system.energy, 0) /
      readers.length,
    (unit) => {
      for (const system of systems) removeColumns(system, unit);
    },
  );
});

/** One product W X of [rows, n] by [n, positions] whose columns are eliminated in place. */
interface System {
  readonly n: number;
  readonly rows: number;
  readonly w: Float64Array;
  /** H^-1 = (X X^T + damping)^-1 [n, n]. */
  readonly h: Float64Array;
  /** |W X|^2 of the whole layer, all groups together. */
  readonly energy: number;
  columns(unit: number): readonly number[];
}

/** A reader's groups as systems, with copies of its weights. */
function systemsOf(reader: Products): System[] {
  const { n, rows, columns, groups } = reader;
  const energy = groups.reduce((sum, { energy }) => sum + energy, 0) || 1;
  return groups.map(({ w, gram }) => ({
    ...{ n, rows, columns, energy },
    w: w.slice(),
    h: inverse(damped(gram, n, DAMPING), n),
  }));
}

/** [H^-1]_uu^-1 [t, t] for the t columns of a unit, and these columns. */
function pivotOf({ n, h, columns }: System, unit: number) {
  const own = columns(unit);
  const t = own.length;
  const block = new Float64Array(t * t);
  for (let a = 0; a < t; a++) for (let b = 0; b < t; b++) block[a * t + b] = h[own[a] * n + own[b]];
  if (t === 1) return { own, t, pivot: block.fill(1 / block[0]) };
  // The block of a matrix that rounding made almost singular still has an inverse.
  for (let a = 0; a < t; a++) block[a * t + a] *= 1 + 1e-9;
  return { own, t, pivot: inverse(block, t) };
}

/** tr(W_u [H^-1]_uu^-1 W_u^T): how much the squared error grows when the unit is removed. */
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

/** Removes the columns of a unit from W and from H^-1, in place. */
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
