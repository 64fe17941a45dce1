/**
 * @file GPTQ's sweep over many rows at once, in panels of columns. What the panels before add to a
 * panel is one product of matrices, which is several times faster than row by row where a layer is
 * too large for the cache.
 *
 * With H = R R^T, R upper triangular, and d = w - v, what is lost is
 *
 *   d^T H d = sum_j R_jj^2 (d_j + sum_{i<j} d_i R_ij / R_jj)^2
 *
 * so column j is rounded to the level nearest to w_j + sum_{i<j} d_i R_ij / R_jj. These are the
 * levels of propagate.ts, because U = R^-1 (Chee et al. 2023, QuIP, arXiv 2307.13304, theorem 6).
 */
import { multiplyTransposed } from "../numeric/matrix.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { type Blocks, type LevelRange, nearestLevel } from "./matrix.ts";
import { fitScale } from "./scale.ts";

/** Some rows of a layer, their columns in the order in which they are rounded. */
export interface Tile {
  /** [rows, columns] */
  readonly weight: Float64Array;
  readonly rows: number;
  readonly columns: number;
  readonly blocks: Blocks;
  readonly range: LevelRange;
  /** The grid of each row, where it has a single one; else it is chosen when a block is reached. */
  readonly grids: readonly QuantParams[] | null;
}

/** A rounded tile. */
export interface SweptTile {
  /** The levels [rows, columns]. */
  readonly q: Int8Array;
  /** The grid of each block [rows, blocks]. */
  readonly grids: readonly QuantParams[];
  /** d = w - v [rows, columns]. */
  readonly lost: Float64Array;
}

/** One panel of the factor. */
interface Panel {
  readonly start: number;
  readonly end: number;
  /** R_ij / R_jj for j in the panel and i < end: a row for each j [end - start, end]. */
  readonly shares: Float64Array;
}

/** Cuts the factor R [n, n] into panels of about `width` columns, which hold whole blocks. */
export function panelsOf(factor: Float64Array, blocks: Blocks, width = 64): Panel[] {
  const n = blocks.of.length;
  const panels: Panel[] = [];
  for (let start = 0; start < n; ) {
    let end = Math.min(n, start + width);
    while (blocks.count > 1 && end < n && blocks.of[end] === blocks.of[end - 1]) end++;
    const shares = new Float64Array((end - start) * end);
    for (let j = start; j < end; j++) {
      const pivot = factor[j * n + j];
      for (let i = 0; i < j; i++) shares[(j - start) * end + i] = factor[i * n + j] / pivot;
    }
    panels.push({ start, end, shares });
    start = end;
  }
  return panels;
}

/** Rounds a tile. `importance` is R_jj^2 [columns], which weighs the errors that choose a scale. */
export function sweepTile(
  tile: Tile,
  panels: readonly Panel[],
  importance: Float64Array,
): SweptTile {
  const { weight, rows, columns, blocks, grids } = tile;
  const q = new Int8Array(rows * columns);
  const chosen: QuantParams[] = grids ? [...grids] : new Array(rows * blocks.count);
  const lost = new Float64Array(rows * columns);
  for (const panel of panels) {
    const wanted = wantedOf(tile, panel, lost);
    for (let row = 0; row < rows; row++) roundPanel(row, panel, wanted);
  }
  return { q, grids: chosen, lost };

  /** What column j of a row is to be, when the columns before `until` are rounded. */
  function target(
    row: number,
    j: number,
    until: number,
    panel: Panel,
    wanted: Float64Array,
  ): number {
    const { start, end, shares } = panel;
    let w = wanted[row * (end - start) + j - start];
    const own = (j - start) * end;
    for (let i = start; i < until; i++) w += lost[row * columns + i] * shares[own + i];
    return w;
  }

  function roundPanel(row: number, panel: Panel, wanted: Float64Array): void {
    const at = row * columns;
    for (let j = panel.start; j < panel.end; j++) {
      const w = target(row, j, j, panel, wanted);
      const block = blocks.of[j];
      if (!grids && (j === 0 || blocks.of[j - 1] !== block)) {
        chosen[row * blocks.count + block] = gridFor(row, j, panel, wanted);
      }
      const { scale, zeroPoint } = chosen[row * blocks.count + block];
      // Weights that pruning made 0 stay 0.
      const isZero = weight[at + j] === 0;
      const level = isZero ? zeroPoint : nearestLevel(w, scale, zeroPoint, tile.range);
      q[at + j] = level;
      lost[at + j] = weight[at + j] - scale * (level - zeroPoint);
    }
  }

  /**
   * The grid of the block that begins at column j: it fits the weights that would lose nothing more,
   * if any value were possible.
   */
  function gridFor(row: number, j: number, panel: Panel, wanted: Float64Array): QuantParams {
    const { start, end, shares } = panel;
    const at = row * columns;
    const free: number[] = [];
    for (let k = j; k < end && blocks.of[k] === blocks.of[j]; k++) {
      let w = target(row, k, j, panel, wanted);
      const own = (k - start) * end;
      for (const [i, value] of free.entries())
        w += (weight[at + j + i] - value) * shares[own + j + i];
      free.push(w);
    }
    return fitScale(free, importance.subarray(j, j + free.length), tile.range);
  }
}

/** w_j + sum_{i<start} d_i R_ij / R_jj for the columns j of a panel [rows, end - start]. */
function wantedOf(
  { weight, rows, columns }: Tile,
  { start, end, shares }: Panel,
  lost: Float64Array,
): Float64Array {
  const width = end - start;
  const left = (from: Float64Array, stride: number, count: number): Float64Array => {
    const part = new Float64Array(count * start);
    for (let i = 0; i < count; i++) {
      part.set(from.subarray(i * stride, i * stride + start), i * start);
    }
    return part;
  };
  const wanted =
    start > 0
      ? multiplyTransposed(left(lost, columns, rows), left(shares, end, width), rows, width, start)
      : new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < width; j++) wanted[row * width + j] += weight[row * columns + start + j];
  }
  return wanted;
}
