/**
 * @file Butterfly matrices: products of log2 n factors that each mix pairs (Dao et al. 2019).
 *
 *   W [n, n] = F_n,   F_2h = [D_00 F_h, D_01 F'_h; D_10 F_h, D_11 F'_h]
 * with D_li diagonal [h, h] and two butterflies F_h, F'_h of half the size; F_1 = 1. Level s holds the
 * D of its 2^s blocks of size 2 h = n / 2^s, as [2^s, l, j, i], where j runs along the diagonals: 2 n
 * numbers, so 2 n log2 n in all.
 */
import { evenSizes } from "./even-sizes.ts";

/** log2 of a power of two. */
export function levelsOf(n: number): number {
  let levels = 0;
  for (let size = 1; size < n; size *= 2) levels++;
  return levels;
}

/**
 * The levels of a butterfly near W [n, n], n a power of two from 2 on: D and the first factor of each
 * block come from the rank-1 fits of W[(l, j), (i, t)] ~ D_li[j] F_i[j, t], one for each (i, j), and so
 * on with the F_i (Le, Zheng, Riccietti, Gribonval 2021). Butterflies are found again exactly; for other
 * matrices each level is the best for what the level before it left.
 */
export function nearestButterfly(w: Float64Array, n: number): Float64Array[] {
  const count = levelsOf(n);
  const levels = Array.from({ length: count }, () => new Float64Array(2 * n));
  let blocks = [w];
  for (const [s, level] of levels.entries()) {
    const half = n / 2 ** (s + 1);
    blocks = blocks.flatMap((block, c) => peel(block, half, level.subarray(c * 4 * half)));
  }
  // What is left are numbers F_1, which the last level takes.
  const last = levels[count - 1];
  for (let at = 0; at < last.length; at++) last[at] *= blocks[2 * Math.floor(at / 4) + (at % 2)][0];
  return evenSizes(levels);
}

/** Writes D [l, j, i] of a block [2 half, 2 half] to `d`, and returns F_0 and F_1 [half, half]. */
function peel(block: Float64Array, half: number, d: Float64Array): Float64Array[] {
  const inner = [new Float64Array(half * half), new Float64Array(half * half)];
  const size = 2 * half;
  for (let j = 0; j < half; j++) {
    for (const [i, f] of inner.entries()) {
      const top = block.subarray(j * size + i * half, j * size + i * half + half);
      const low = block.subarray((half + j) * size + i * half, (half + j) * size + i * half + half);
      const [x, y] = leading(top, low);
      // The singular value stays in F, so that every level sees what the blocks weigh.
      d[2 * j + i] = x;
      d[2 * half + 2 * j + i] = y;
      for (let t = 0; t < half; t++) f[j * half + t] = x * top[t] + y * low[t];
    }
  }
  return inner;
}

/** The unit vector u [2] with the largest |u_0 a + u_1 b|: the first left singular vector of both rows. */
function leading(a: Float64Array, b: Float64Array): readonly [number, number] {
  let [aa, ab, bb] = [0, 0, 0];
  for (let t = 0; t < a.length; t++) {
    aa += a[t] * a[t];
    ab += a[t] * b[t];
    bb += b[t] * b[t];
  }
  const gap = (aa - bb) / 2;
  const root = Math.sqrt(gap * gap + ab * ab);
  if (root === 0) return [Math.SQRT1_2, Math.SQRT1_2];
  // Of both formulas for the eigenvector, the one without cancellation.
  const [x, y] = gap >= 0 ? [gap + root, ab] : [ab, root - gap];
  const length = Math.sqrt(x * x + y * y);
  return [x / length, y / length];
}
