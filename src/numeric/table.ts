/** @file Fixed tables of 16 values, and affine grids of few levels. */

/**
 * NormalFloat-4: quantiles of the normal distribution, scaled to [-1, 1], with an exact 0 (Dettmers
 * et al. 2023, QLoRA, arXiv 2305.14314, appendix E). The 0 comes first, the others ascend.
 */
const NF4 = [
  0, -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
  -0.18477343022823334, -0.09105003625154495, 0.07958029955625534, 0.16093020141124725,
  0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
  0.7229568362236023, 1,
];

/**
 * Floats of 4 bits, sign, two bits of exponent, one of mantissa (e2m1; OCP Microscaling Formats 1.0,
 * table 5). -0 is left out.
 */
const FP4 = [0, -6, -4, -3, -2, -1.5, -1, -0.5, 0.5, 1, 1.5, 2, 3, 4, 6];

export const tables = { nf4: Float32Array.from(NF4), fp4: Float32Array.from(FP4) } as const;

/** The place of the entry that is nearest to x; the first of two that are equally near. */
export function nearestEntry(table: Float32Array, x: number): number {
  let best = 0;
  for (let k = 1; k < table.length; k++) {
    if (Math.abs(x - table[k]) < Math.abs(x - table[best])) best = k;
  }
  return best;
}

/**
 * Scale s >= 0 and offset m <= 0 for which s q + m with whole numbers q from 0 to `levels` is near to x:
 * first those that cover the range of x and 0; then levels and their least squares in turn, while
 * that helps (after make_qkx2_quants of llama.cpp).
 */
export function fitAffine(x: Float32Array, levels: number): { scale: number; offset: number } {
  let [low, high] = [0, 0];
  for (const value of x) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (high === low) return { scale: 0, offset: 0 };
  let best = { scale: (high - low) / levels, offset: low };
  let least = affineError(x, levels, best);
  for (let round = 0; round < 8; round++) {
    const next = leastSquares(x, levels, best);
    const error = next ? affineError(x, levels, next) : least;
    if (!next || !(error < least)) break;
    [best, least] = [next, error];
  }
  return best;
}

/** The level of x, from 0 to `levels`. */
export function affineLevel(x: number, levels: number, scale: number, offset: number): number {
  const level = scale === 0 ? 0 : Math.round((x - offset) / scale);
  return Math.max(0, Math.min(levels, level));
}

interface Affine {
  readonly scale: number;
  readonly offset: number;
}

function affineError(x: Float32Array, levels: number, { scale, offset }: Affine): number {
  let error = 0;
  for (const value of x) {
    const q = affineLevel(value, levels, scale, offset);
    error += (value - scale * q - offset) ** 2;
  }
  return error;
}

/** The scale and offset of least squared error for the levels that `now` gives. */
function leastSquares(x: Float32Array, levels: number, now: Affine): Affine | null {
  let [sq, sqq, sx, sqx] = [0, 0, 0, 0];
  for (const value of x) {
    const q = affineLevel(value, levels, now.scale, now.offset);
    sq += q;
    sqq += q * q;
    sx += value;
    sqx += q * value;
  }
  const determinant = x.length * sqq - sq * sq;
  const scale = determinant > 0 ? (x.length * sqx - sq * sx) / determinant : 0;
  const offset = (sx - scale * sq) / x.length;
  if (offset <= 0) return scale > 0 ? { scale, offset } : null;
  return sqx > 0 ? { scale: sqx / sqq, offset: 0 } : null;
}
