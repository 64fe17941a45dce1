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
import { compensate, inverseFactor } from "../numeric/inverse.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import {
  emptyLevels,
  type HessianLayer,
  type LevelRange,
  type Levels,
  nearestLevel,
} from "./matrix.ts";
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

/** Rounds the layer. Weights that are exactly 0, because pruning made them so, stay 0. */
export function propagate(layer: HessianLayer, { order, passes }: PropagateOptions): Levels {
  const { weight, rows, columns, blocks, range } = layer;
  const isOrdered = order === "activations" && blocks.count === 1;
  const places = isOrdered
    ? byActivation(layer.hessian, columns)
    : Int32Array.from({ length: columns }, (_, j) => j);
  const hessian = isOrdered ? permuted(layer.hessian, places) : layer.hessian;
  const upper = inverseFactor(hessian, columns);
  const sweep = new Sweep(upper, hessian, columns, range);
  const result = emptyLevels(layer);
  const triesAll = blocks.count === 1 && (rows * columns * columns * SCALES) / 2 < TRIALS;
  const given = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    const at = row * columns;
    for (let j = 0; j < columns; j++) given[j] = weight[at + places[j]];
    const first = row * blocks.count;
    const grids =
      blocks.count > 1
        ? sweep.byBlocks(given, blocks.of)
        : [triesAll ? sweep.bestScale(given) : fitScale(given, sweep.importance, range)];
    if (blocks.count === 1) sweep.run(given, grids[0]);
    for (const [b, { scale, zeroPoint }] of grids.entries()) {
      result.scales[first + b] = scale;
      result.zeros[first + b] = zeroPoint;
    }
    const scaleAt = (j: number): QuantParams => grids[blocks.of[places[j]]];
    sweep.refine(given, scaleAt, passes);
    for (let j = 0; j < columns; j++) result.q[at + places[j]] = sweep.levels[j];
  }
  return result;
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

/** Rounds rows of one layer, one after the other; `levels` holds the last one. */
class Sweep {
  readonly levels: Int8Array;
  /** 1 / U_jj^2: what an error of column j costs if only later columns make up for it. */
  readonly importance: Float64Array;
  readonly #rest: Float64Array;
  readonly #gradient: Float64Array;
  readonly #upper: Float64Array;
  readonly #hessian: Float64Array;
  readonly #columns: number;
  readonly #range: LevelRange;

  constructor(upper: Float64Array, hessian: Float64Array, columns: number, range: LevelRange) {
    this.#upper = upper;
    this.#hessian = hessian;
    this.#columns = columns;
    this.#range = range;
    this.levels = new Int8Array(columns);
    this.#rest = new Float64Array(columns);
    this.#gradient = new Float64Array(columns);
    this.importance = Float64Array.from(
      { length: columns },
      (_, j) => 1 / upper[j * columns + j] ** 2,
    );
  }

  /** Rounds a row on one grid. Returns the sum of e_j^2, or a part of it that exceeds `most`. */
  run(row: Float64Array, grid: QuantParams, most = Infinity): number {
    this.#rest.set(row);
    let total = 0;
    for (let j = 0; j < this.#columns && total < most; j++) total += this.#step(row, j, grid);
    return total;
  }

  /** The scale of the least sum of e_j^2. */
  bestScale(row: Float64Array): QuantParams {
    let best = fitScale(row, this.importance, this.#range);
    let least = this.run(row, best);
    for (const grid of candidateScales(row, this.#range)) {
      const error = this.run(row, grid, least);
      if (error < least) [best, least] = [grid, error];
    }
    return best;
  }

  /** Rounds a row whose blocks have scales of their own, chosen when the first column is reached. */
  byBlocks(row: Float64Array, blockOf: Int32Array): QuantParams[] {
    const grids: QuantParams[] = [];
    this.#rest.set(row);
    for (let j = 0; j < this.#columns; j++) {
      const block = blockOf[j];
      if (block === grids.length) {
        let end = j + 1;
        while (end < this.#columns && blockOf[end] === block) end++;
        const own = this.#rest.subarray(j, end);
        grids.push(fitScale(own, this.importance.subarray(j, end), this.#range));
      }
      this.#step(row, j, grids[block]);
    }
    return grids;
  }

  /** Rounds one column and passes its error on. Returns e_j^2. */
  #step(row: Float64Array, j: number, { scale, zeroPoint }: QuantParams): number {
    const rest = this.#rest;
    const w = rest[j];
    const level = row[j] === 0 ? zeroPoint : nearestLevel(w, scale, zeroPoint, this.#range);
    this.levels[j] = level;
    const share = compensate(rest, j, w - scale * (level - zeroPoint), this.#upper);
    return share * share;
  }

  /**
   * Coordinate descent of d^T H d, d = s (q - z) - w: in turn each level moves by one if that lowers
   * it. With g = H d, moving d_j by t changes it by 2 t g_j + t^2 H_jj.
   */
  refine(row: Float64Array, gridAt: (column: number) => QuantParams, passes: number): void {
    if (passes === 0) return;
    const n = this.#columns;
    const { least, greatest } = this.#range;
    const gradient = this.#gradient.fill(0);
    for (let j = 0; j < n; j++) {
      const { scale, zeroPoint } = gridAt(j);
      const d = scale * (this.levels[j] - zeroPoint) - row[j];
      if (d === 0) continue;
      for (let k = 0, from = j * n; k < n; k++) gradient[k] += d * this.#hessian[from + k];
    }
    for (let pass = 0; pass < passes; pass++) {
      let moved = false;
      for (let j = 0; j < n; j++) {
        const { scale } = gridAt(j);
        const step = gradient[j] > 0 ? -scale : scale;
        const level = this.levels[j] + Math.sign(step);
        const change = 2 * step * gradient[j] + step * step * this.#hessian[j * n + j];
        if (row[j] === 0 || level < least || level > greatest || change >= 0) continue;
        this.levels[j] = level;
        moved = true;
        for (let k = 0, from = j * n; k < n; k++) gradient[k] += step * this.#hessian[from + k];
      }
      if (!moved) break;
    }
  }
}
