/**
 * @file GPTQ: weights are rounded column by column, and the columns that are still to come take up
 * the error (Frantar et al. 2022, arXiv 2210.17323, algorithm 1).
 *
 * With H^-1 = U^T U, U upper triangular, rounding w_j to v adds e_j^2 to the error of the outputs,
 *
 *   e_j = (w_j - v) / U_jj,   w_k -= e_j U_jk for k > j
 *
 * if all later weights could take any value.
 */
import { compensate, inverseOfUpper, upperFactor } from "../numeric/inverse.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { descend } from "./descend.ts";
import {
  emptyLevels,
  type HessianLayer,
  type LevelRange,
  type Levels,
  nearestLevel,
} from "./matrix.ts";
import { panelsOf, sweepTile } from "./panels.ts";
import { candidateScales, fitScale } from "./scale.ts";

export interface PropagateOptions {
  /**
   * activations: columns whose inputs are largest go first, while many others are left to take up
   * their error. It needs one scale per row. natural: from first to last.
   */
  readonly order: "activations" | "natural";
  /** Passes over each row in which a level moves by one if that lowers the error of the outputs. */
  readonly passes: number;
}

/** Multiplications that trying scales may take in one layer; beyond it, diag(H) chooses them. */
const TRIALS = 4e9;
/** About how many scales are tried for a row. */
const SCALES = 30;

/** Rows that are rounded together. */
const TILE = 256;

/** Rounds the layer. Weights that are exactly 0, because pruning made them so, stay 0. */
export function propagate(
  layer: HessianLayer,
  { order, passes }: PropagateOptions,
  { tile = TILE, panel }: { readonly tile?: number; readonly panel?: number } = {},
): Levels {
  const { rows, columns, blocks, range } = layer;
  const isOrdered = order === "activations" && blocks.count === 1;
  const places = isOrdered
    ? byActivation(layer.hessian, columns)
    : Int32Array.from({ length: columns }, (_, j) => j);
  const hessian = isOrdered ? permuted(layer.hessian, places) : layer.hessian;
  const factor = upperFactor(hessian, columns);
  const importance = Float64Array.from({ length: columns }, (_, j) => factor[j * columns + j] ** 2);
  const triesAll = blocks.count === 1 && (rows * columns * columns * SCALES) / 2 < TRIALS;
  const trials = triesAll ? new Trials(inverseOfUpper(factor, columns), importance, range) : null;
  const gridOf = (own: Float64Array): QuantParams =>
    trials?.best(own) ?? fitScale(own, importance, range);
  const panels = panelsOf(factor, blocks, panel);
  const result = emptyLevels(layer);
  for (let first = 0; first < rows; first += tile) {
    const count = Math.min(tile, rows - first);
    const weight = ordered(layer, places, first, count);
    const of = (row: number) => weight.subarray(row * columns, (row + 1) * columns);
    const grids = blocks.count > 1 ? null : Array.from({ length: count }, (_, i) => gridOf(of(i)));
    const own = { weight, rows: count, columns, blocks, range, grids };
    const swept = sweepTile(own, panels, importance);
    descend(own, swept, hessian, passes);
    for (let i = 0; i < count * columns; i++) {
      result.q[(first + Math.floor(i / columns)) * columns + places[i % columns]] = swept.q[i];
    }
    for (const [i, { scale, zeroPoint }] of swept.grids.entries()) {
      result.scales[first * blocks.count + i] = scale;
      result.zeros[first * blocks.count + i] = zeroPoint;
    }
  }
  return result;
}

/** Some rows of the weight, with their columns in the order of `places`. */
function ordered(
  { weight, columns }: HessianLayer,
  places: Int32Array,
  first: number,
  count: number,
): Float64Array {
  const rows = new Float64Array(count * columns);
  for (let i = 0; i < rows.length; i++) {
    rows[i] = weight[(first + Math.floor(i / columns)) * columns + places[i % columns]];
  }
  return rows;
}

/** Columns by falling H_jj, the energy of their input. */
export function byActivation(hessian: Float64Array, columns: number): Int32Array {
  const places = Array.from({ length: columns }, (_, j) => j);
  const energy = (j: number): number => hessian[j * columns + j];
  return Int32Array.from(places.sort((a, b) => energy(b) - energy(a) || a - b));
}

/** The symmetric matrix with its rows and columns in the order of `places`. */
export function permuted(matrix: Float64Array, places: Int32Array): Float64Array {
  const n = places.length;
  return matrix.map((_, i) => matrix[places[Math.floor(i / n)] * n + places[i % n]]);
}

/** Rounds a row with scale after scale. */
class Trials {
  readonly #rest: Float64Array;
  readonly #upper: Float64Array;
  /** 1 / U_jj^2: what an error of column j costs if only later columns make up for it. */
  readonly #importance: Float64Array;
  readonly #range: LevelRange;

  constructor(upper: Float64Array, importance: Float64Array, range: LevelRange) {
    this.#upper = upper;
    this.#importance = importance;
    this.#range = range;
    this.#rest = new Float64Array(importance.length);
  }

  /** The grid of the least sum of e_j^2. */
  best(row: Float64Array): QuantParams {
    let best = fitScale(row, this.#importance, this.#range);
    let least = this.#run(row, best);
    for (const grid of candidateScales(row, this.#range)) {
      const error = this.#run(row, grid, least);
      if (error < least) [best, least] = [grid, error];
    }
    return best;
  }

  /** Rounds a row on one grid. Returns the sum of e_j^2, or a part of it that exceeds `most`. */
  #run(row: Float64Array, { scale, zeroPoint }: QuantParams, most = Infinity): number {
    const rest = this.#rest;
    rest.set(row);
    let total = 0;
    for (let j = 0; j < row.length && total < most; j++) {
      const w = rest[j];
      const level = row[j] === 0 ? zeroPoint : nearestLevel(w, scale, zeroPoint, this.#range);
      total += compensate(rest, j, w - scale * (level - zeroPoint), this.#upper) ** 2;
    }
    return total;
  }
}
