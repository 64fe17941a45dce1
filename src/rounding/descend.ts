/** @file Coordinate descent on levels: each moves by one where that lowers the error of the outputs. */
import { multiplyTransposed } from "../numeric/matrix.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import type { SweptTile, Tile } from "./panels.ts";

/**
 * Improves the levels of a tile in place. With d = v - w and g = H d, moving d_j by t changes d^T H d by
 * 2 t g_j + t^2 H_jj. Ends after `passes` over each row, or when none moves.
 */
export function descend(
  { weight, rows, columns: n, blocks, range }: Tile,
  { q, grids, lost }: SweptTile,
  hessian: Float64Array,
  passes: number,
): void {
  if (passes === 0) return;
  const gridAt = (row: number, j: number): QuantParams => grids[row * blocks.count + blocks.of[j]];
  const gradients = multiplyTransposed(lost, hessian, rows, n, n).map((x) => -x);
  for (let row = 0; row < rows; row++) {
    const at = row * n;
    const gradient = gradients.subarray(at, at + n);
    for (let pass = 0; pass < passes; pass++) {
      let moved = false;
      for (let j = 0; j < n; j++) {
        const { scale } = gridAt(row, j);
        const step = gradient[j] > 0 ? -scale : scale;
        const level = q[at + j] + Math.sign(step);
        const change = 2 * step * gradient[j] + step * step * hessian[j * n + j];
        const isOut = level < range.least || level > range.greatest;
        if (weight[at + j] === 0 || isOut || change >= 0) continue;
        q[at + j] = level;
        moved = true;
        for (let k = 0, from = j * n; k < n; k++) gradient[k] += step * hessian[from + k];
      }
      if (!moved) break;
    }
  }
}
