/**
 * @file Block-circulant matrices: every block [b, b] holds b numbers, each along a wrapped diagonal.
 *
 *   C[i b + x, j b + y] = r[i, j, (x - y) mod b]
 *
 * C v is a circular convolution of r and v, so the discrete Fourier transform makes it diagonal.
 */

/** The sizes of a matrix and of its circulant blocks. */
export interface Circulant {
  readonly rows: number;
  readonly columns: number;
  /** b; the last blocks of each axis stand over the matrix if it does not divide the sizes. */
  readonly block: number;
}

/** The index in r [ceil(rows / b), ceil(columns / b), b] of element (x, y). */
export function diagonalOf({ columns, block }: Circulant, x: number, y: number): number {
  const across = Math.ceil(columns / block);
  const at = Math.floor(x / block) * across + Math.floor(y / block);
  return at * block + ((((x - y) % block) + block) % block);
}

/**
 * The block-circulant matrix C nearest to C S ~ w, for signs S = diag(s) [columns] of -1 and +1: r is
 * the mean of s_y w[x, y] over each wrapped diagonal, because every element of w is one measurement of
 * one number of r (least squares). Diagonals without an element give 0.
 */
export function nearestCirculant(
  w: ArrayLike<number>,
  size: Circulant,
  signs: ArrayLike<number> | null = null,
): Float32Array {
  const { rows, columns } = size;
  const members = membersOf(size);
  const sums = new Float64Array(members.length);
  for (let x = 0; x < rows; x++) {
    for (let y = 0; y < columns; y++) {
      const at = diagonalOf(size, x, y);
      sums[at] += (signs ? signs[y] : 1) * w[x * columns + y];
    }
  }
  return Float32Array.from(sums, (sum, i) => sum / Math.max(1, members[i]));
}

/**
 * r and signs s [columns] of C S ~ w, from given signs on: one sign after the other is turned where
 * that lowers the error, until none does, or `sweeps` times through all columns.
 *
 * With n_k elements on diagonal k the best r leaves the error |w|^2 - sum_k n_k r_k^2. A column meets
 * no diagonal twice, so turning the sign of column y moves each of its r_k by -2 s_y w[x, y] / n_k, and
 *   sum_k n_k r_k^2 grows by 4 sum_x (w[x, y]^2 / n_k - s_y w[x, y] r_k)
 */
export function fitSignedCirculant(
  w: ArrayLike<number>,
  size: Circulant,
  start: Int8Array,
  sweeps: number,
): { readonly r: Float32Array; readonly signs: Int8Array } {
  const { rows, columns } = size;
  const signs = start.slice();
  const members = membersOf(size);
  const r = Float64Array.from(nearestCirculant(w, size, signs));
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let turns = 0;
    for (let y = 0; y < columns; y++) {
      let [gain, own] = [0, 0];
      for (let x = 0; x < rows; x++) {
        const at = diagonalOf(size, x, y);
        const v = w[x * columns + y];
        own += v * v;
        gain += (v * v) / members[at] - signs[y] * v * r[at];
      }
      // Rounding must not turn a sign forth and back.
      if (!(gain > 1e-9 * own)) continue;
      for (let x = 0; x < rows; x++) {
        const at = diagonalOf(size, x, y);
        r[at] -= (2 * signs[y] * w[x * columns + y]) / members[at];
      }
      signs[y] = -signs[y];
      turns++;
    }
    if (turns === 0) break;
  }
  return { r: nearestCirculant(w, size, signs), signs };
}

/** How many elements of the matrix lie on each diagonal. */
function membersOf(size: Circulant): Uint32Array {
  const { rows, columns, block } = size;
  const members = new Uint32Array(Math.ceil(rows / block) * Math.ceil(columns / block) * block);
  for (let x = 0; x < rows; x++) {
    for (let y = 0; y < columns; y++) members[diagonalOf(size, x, y)]++;
  }
  return members;
}
