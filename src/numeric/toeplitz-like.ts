/**
 * @file Matrices of low displacement rank: W = sum_k Z_1(g_k) Z_-1(h_k)^T, near Toeplitz matrices and
 * their inverses (Sindhwani, Sainath, Kumar 2015; Kailath, Kung, Morf 1979).
 *
 * Z_f shifts a vector down by one and brings the last entry to the top, times f. Z_f(v) has the columns
 * v, Z_f v, Z_f^2 v, ...: circulant for f = 1, skew-circulant for f = -1:
 *   Z_1(g)[i, t] = g[(i - t) mod n],   Z_-1(h)[j, t] = +-h[(j - t) mod n], minus where j < t
 */
import { solveSpd } from "./cholesky.ts";
import { type Circle, circle } from "./circle.ts";
import { multiplyTransposed, transpose } from "./matrix.ts";
import { svd } from "./svd.ts";

/** The least ridge, below what float32 can tell: generators may depend on one another. */
const LEAST = 1e-9;

/** Generators of an [n, n] matrix: g and h [rank, n]. */
export interface Generators {
  readonly rank: number;
  readonly g: Float64Array;
  readonly h: Float64Array;
}

/**
 * The displacement Z_1 W - W Z_-1 of W [n, n]. Its rank is 2 at most for a Toeplitz matrix, and r at
 * most for a sum of r products.
 */
export function displacement(w: ArrayLike<number>, n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    const down = w[((i + n - 1) % n) * n + j];
    return j < n - 1 ? down - w[i * n + j + 1] : down + w[i * n];
  });
}

/**
 * Generators of W [n, n] from the `rank` largest singular values of its displacement; exact if it has
 * no larger rank. Z_1^n = 1 and Z_-1^n = -1 give, for a displacement sum_k u_k v_k^T,
 *   W = 1/2 sum_(i < n) Z_1^-(i + 1) (sum_k u_k v_k^T) Z_-1^i = sum_k Z_1(u_k) Z_-1(-1/2 Z_-1 v_k)^T
 */
export function fromDisplacement(w: ArrayLike<number>, n: number, rank: number): Generators {
  const { u, s, v } = svd(displacement(w, n), n, n);
  const kept = Math.min(rank, n);
  const [g, h] = [new Float64Array(rank * n), new Float64Array(rank * n)];
  for (let k = 0; k < kept; k++) {
    // The half of s goes to both sides alike, because numbers of like size learn alike.
    const root = Math.sqrt(s[k] / 2);
    for (let i = 0; i < n; i++) {
      g[k * n + i] = root * u[i * n + k];
      const before = v[((i + n - 1) % n) * n + k];
      h[k * n + i] = i === 0 ? root * before : -root * before;
    }
  }
  return { rank, g, h };
}

/**
 * Generators that fit W [n, n] better: the best g for this h and the best h for this g in turn, each by
 * least squares, `sweeps` times. `ridge` is a penalty on |g|^2 and |h|^2, as a share of the mean curvature;
 * without it the error never grows, but large generators may cancel one another, which rounding spoils.
 */
export function refine(
  w: ArrayLike<number>,
  n: number,
  start: Generators,
  sweeps: number,
  ridge: number,
): Generators {
  const { rank } = start;
  const matrix = Float64Array.from(w);
  const rows = spectrum(matrix, n, 1);
  const columns = spectrum(transpose(matrix, n, n), n, -1);
  let { g, h } = start;
  for (let sweep = 0; sweep < sweeps; sweep++) {
    g = bestGenerators(rows, h, n, rank, 1, ridge);
    h = bestGenerators(columns, g, n, rank, -1, ridge);
  }
  return balanced({ rank, g, h }, n);
}

/**
 * The same matrix by generators that are orthogonal on each side, and of the same length in each pair.
 * Any r x r matrix M can stand between them, (g M) (h M^-T)^T = g h^T, so that large generators may
 * cancel; the singular vectors of g h^T do not, and bear rounding.
 */
function balanced({ rank, g, h }: Generators, n: number): Generators {
  const product = multiplyTransposed(transpose(g, rank, n), transpose(h, rank, n), n, n, rank);
  const { u, s, v } = svd(product, n, n);
  const even = { rank, g: new Float64Array(rank * n), h: new Float64Array(rank * n) };
  for (let k = 0; k < Math.min(rank, n); k++) {
    const root = Math.sqrt(s[k]);
    for (let i = 0; i < n; i++) {
      even.g[k * n + i] = root * u[i * n + k];
      even.h[k * n + i] = root * v[i * n + k];
    }
  }
  return even;
}

/** Complex numbers: real parts and imaginary parts. */
interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/**
 * The angle of frequency f in steps of pi / n: even for circulants (wrap 1), odd for skew-circulants
 * (wrap -1).
 */
const stepsOf = (f: number, wrap: 1 | -1): number => (wrap === 1 ? 2 * f : 2 * f + 1);

/** Real numbers have conjugate values at f and at the frequency of the opposite angle. */
const opposite = (f: number, n: number, wrap: 1 | -1): number =>
  wrap === 1 ? (n - f) % n : n - 1 - f;

/** sum_t e^(-i angle_f t) w[t, j] [n, n], in which a product by Z_wrap(v) multiplies each row by a number. */
function spectrum(w: Float64Array, n: number, wrap: 1 | -1): Complex {
  const points = circle(2 * n);
  const [re, im] = [new Float64Array(n * n), new Float64Array(n * n)];
  for (let f = 0; f < n; f++) {
    for (let t = 0, m = 0; t < n; t++, m = (m + stepsOf(f, wrap)) % (2 * n)) {
      const [c, s] = [points.cos[m], -points.sin[m]];
      for (let j = 0; j < n; j++) {
        const x = w[t * n + j];
        re[f * n + j] += c * x;
        im[f * n + j] += s * x;
      }
    }
  }
  return { re, im };
}

/**
 * The g [rank, n] with the least |W - sum_k Z_wrap(g_k) Z_-wrap(h_k)^T|^2, from the spectrum of W. Each
 * frequency is a least-squares problem of its own, with `rank` unknowns:
 *   W^[f, :] ~ sum_k g^_k[f] H^_k[f, :]
 */
function bestGenerators(
  { re: wRe, im: wIm }: Complex,
  h: Float64Array,
  n: number,
  rank: number,
  wrap: 1 | -1,
  ridge: number,
): Float64Array {
  const points = circle(2 * n);
  const g = new Float64Array(rank * n);
  const rows = { re: new Float64Array(rank * n), im: new Float64Array(rank * n) };
  for (let f = 0; f < n; f++) {
    const other = opposite(f, n, wrap);
    if (other < f) continue;
    const steps = stepsOf(f, wrap);
    for (let k = 0; k < rank; k++) {
      rowOf(h.subarray(k * n, (k + 1) * n), steps, points, -wrap, rows, k * n);
    }
    const best = solveComplex(rows, wRe, wIm, f * n, n, rank, ridge);
    const weight = (other === f ? 1 : 2) / n;
    for (let k = 0; k < rank; k++) {
      for (let t = 0, m = 0; t < n; t++, m = (m + steps) % (2 * n)) {
        g[k * n + t] += weight * (best[k] * points.cos[m] - best[rank + k] * points.sin[m]);
      }
    }
  }
  return g;
}

/**
 * One row of the spectrum of Z_wrap(h)^T, at an angle of `steps`. Column j + 1 of that matrix is column j
 * shifted down by one, so that the entries follow one from the other:
 *   H^[0] = h_0 + wrap sum_(t > 0) e^(-i angle t) h_(n - t),   H^[j + 1] = e^(-i angle) H^[j] + 2 h_(j + 1)
 */
function rowOf(
  h: Float64Array,
  steps: number,
  points: Circle,
  wrap: number,
  { re, im }: Complex,
  at: number,
): void {
  const n = h.length;
  let [x, y] = [h[0], 0];
  for (let t = 1, m = steps; t < n; t++, m = (m + steps) % (2 * n)) {
    x += wrap * points.cos[m] * h[n - t];
    y -= wrap * points.sin[m] * h[n - t];
  }
  const [c, s] = [points.cos[steps], -points.sin[steps]];
  [re[at], im[at]] = [x, y];
  for (let j = 1; j < n; j++) {
    [x, y] = [c * x - s * y + 2 * h[j], s * x + c * y];
    [re[at + j], im[at + j]] = [x, y];
  }
}

/** The complex x with the least |w - sum_k x_k rows_k|^2: its real parts, then its imaginary parts. */
function solveComplex(
  { re, im }: Complex,
  wRe: Float64Array,
  wIm: Float64Array,
  from: number,
  n: number,
  rank: number,
  ridge: number,
): Float64Array {
  const size = 2 * rank;
  const normal = new Float64Array(size * size);
  const right = new Float64Array(size);
  let trace = 0;
  for (let k = 0; k < rank; k++) {
    for (let l = 0; l <= k; l++) {
      let [a, b] = [0, 0];
      for (let j = 0; j < n; j++) {
        const [p, q] = [k * n + j, l * n + j];
        a += re[p] * re[q] + im[p] * im[q];
        b += re[p] * im[q] - im[p] * re[q];
      }
      // conj(row_k) row_l = a + i b, as a real matrix [[a, -b], [b, a]]
      normal[k * size + l] = normal[l * size + k] = a;
      normal[(rank + k) * size + rank + l] = normal[(rank + l) * size + rank + k] = a;
      normal[(rank + k) * size + l] = normal[l * size + rank + k] = b;
      normal[(rank + l) * size + k] = normal[k * size + rank + l] = -b;
      if (k === l) trace += a;
    }
    for (let j = 0; j < n; j++) {
      const p = k * n + j;
      right[k] += re[p] * wRe[from + j] + im[p] * wIm[from + j];
      right[rank + k] += re[p] * wIm[from + j] - im[p] * wRe[from + j];
    }
  }
  if (trace === 0) return right;
  for (let k = 0; k < size; k++) normal[k * size + k] += (Math.max(ridge, LEAST) * trace) / rank;
  return solveSpd(normal, size, right);
}
