/**
 * @file A layer's weight as a matrix of levels: W ~ s (q - z), with a scale s and a zero point z for
 * each row, or for each row and block of columns.
 */
import { roundHalfEven } from "../numeric/level.ts";
import { type QuantParams, quantRange } from "../numeric/quantize.ts";

/** Which columns of a row share a scale: runs of neighbouring columns. */
export interface Blocks {
  /** Blocks of one row. */
  readonly count: number;
  /** The block of each column, ascending [columns]. */
  readonly of: Int32Array;
}

/** The levels that a weight may have, from `least` to `greatest`. */
export interface LevelRange {
  readonly least: number;
  readonly greatest: number;
  /** Whether every zero point is 0. */
  readonly isSymmetric: boolean;
}

/** One group of a layer as y = W x. */
export interface MatrixLayer {
  /** How many groups the layer has, each with input channels of its own. */
  readonly groups: number;
  /** W [rows, columns], row-major. */
  readonly weight: Float64Array;
  readonly rows: number;
  readonly columns: number;
  readonly blocks: Blocks;
  readonly range: LevelRange;
  /** What the columns count: input channels vary fastest, then kernel positions. */
  readonly depth: number;
}

/** The same with H = E[x x^T] [columns, columns], damped: an error dW costs tr(dW H dW^T). */
export interface HessianLayer extends MatrixLayer {
  readonly hessian: Float64Array;
  /** The same of other records, which `hessian` has not seen: to compare roundings by. */
  readonly heldOut?: Float64Array;
}

/** A rounded matrix. */
export interface Levels {
  /** q [rows, columns]. */
  readonly q: Int8Array<ArrayBuffer>;
  /** s [rows, blocks], positive float32 values. */
  readonly scales: Float32Array<ArrayBuffer>;
  /** z [rows, blocks]; all 0 if the range is symmetric. */
  readonly zeros: Float32Array<ArrayBuffer>;
}

/** Levels of V where W = V diag(f), with a factor for every input channel [depth]; null for ones. */
export interface Scaled extends Levels {
  readonly factors: Float32Array | null;
}

/** The levels of `bits` bits. */
export function rangeOf(bits: number, isSymmetric: boolean): LevelRange {
  const [least, greatest] = quantRange(bits, true);
  return { least, greatest, isSymmetric };
}

/**
 * The blocks of a row whose columns are `positions` runs of `depth` input channels. Every run is cut
 * into blocks of `size` columns, the last of which may be shorter; size 0 means one block per row.
 */
export function blocksOf(columns: number, depth: number, size: number): Blocks {
  if (size === 0) return { count: 1, of: new Int32Array(columns) };
  const perRun = Math.ceil(depth / size);
  const of = Int32Array.from(
    { length: columns },
    (_, j) => Math.floor(j / depth) * perRun + Math.floor((j % depth) / size),
  );
  return { count: perRun * (columns / depth), of };
}

/** An empty result for the layer. */
export function emptyLevels({ rows, columns, blocks }: MatrixLayer): Levels {
  return {
    q: new Int8Array(rows * columns),
    scales: new Float32Array(rows * blocks.count),
    zeros: new Float32Array(rows * blocks.count),
  };
}

/** Rounds every block of every row to the nearest levels of the grid that `choose` gives for it. */
export function roundBlocks(
  layer: MatrixLayer,
  choose: (own: Float64Array, columns: readonly [start: number, end: number]) => QuantParams,
): Levels {
  const { weight, rows, columns, blocks, range } = layer;
  const result = emptyLevels(layer);
  for (let row = 0; row < rows; row++) {
    const from = row * columns;
    for (let start = 0, block = 0; start < columns; block++) {
      let end = start;
      while (end < columns && blocks.of[end] === block) end++;
      const { scale, zeroPoint } = choose(weight.subarray(from + start, from + end), [start, end]);
      result.scales[row * blocks.count + block] = scale;
      result.zeros[row * blocks.count + block] = zeroPoint;
      for (let i = from + start; i < from + end; i++) {
        result.q[i] = nearestLevel(weight[i], scale, zeroPoint, range);
      }
      start = end;
    }
  }
  return result;
}

/** The nearest level to w on the grid of scale s and zero point z. */
export function nearestLevel(w: number, s: number, z: number, range: LevelRange): number {
  return Math.max(range.least, Math.min(range.greatest, roundHalfEven(w / s + z)));
}

/** The scale and the zero point of every weight [rows, columns]. */
export function perWeight({ scales, zeros }: Levels, { weight, columns, blocks }: MatrixLayer) {
  const at = (i: number): number => Math.floor(i / columns) * blocks.count + blocks.of[i % columns];
  return {
    scale: weight.map((_, i) => scales[at(i)]),
    zero: weight.map((_, i) => zeros[at(i)]),
  };
}

/** The weights that the levels stand for [rows, columns]. */
export function weightOf(levels: Levels, layer: MatrixLayer): Float64Array {
  const { scale, zero } = perWeight(levels, layer);
  return scale.map((s, i) => s * (levels.q[i] - zero[i]));
}

/** d_o^T H d_o for every row of a difference of weights [rows, columns]. */
export function outputErrors(
  difference: Float64Array,
  hessian: Float64Array,
  columns: number,
): Float64Array {
  const errors = new Float64Array(difference.length / columns);
  for (const row of errors.keys()) {
    const at = row * columns;
    for (let j = 0; j < columns; j++) {
      const d = difference[at + j];
      if (d === 0) continue;
      let sum = 0;
      for (let k = 0, from = j * columns; k < columns; k++) {
        sum += hessian[from + k] * difference[at + k];
      }
      errors[row] += d * sum;
    }
  }
  return errors;
}

/** tr(dW H dW^T), the sum over all rows. */
export const outputError = (
  difference: Float64Array,
  hessian: Float64Array,
  columns: number,
): number => outputErrors(difference, hessian, columns).reduce((a, b) => a + b, 0);
