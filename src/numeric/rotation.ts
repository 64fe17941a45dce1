/**
 * @file Orthogonal matrices that spread what is large: Hadamard matrices and random rotations.
 *
 * H [n, n] has entries 1 and -1 and H H^T = n 1, so that H / sqrt(n) gives every unit vector e_i
 * entries of one size. With random signs it spreads any fixed vector that well with high probability
 * (QuaRot, Ashkboos et al. 2024, arXiv 2404.00456, section 3).
 */
import { multiplyTransposed, transpose } from "./matrix.ts";
import { orthonormalRows } from "./qr.ts";
import type { Random } from "./random.ts";

/**
 * A Hadamard matrix [n, n] whose first row is all ones, by Paley's constructions over primes
 * (1933) and Sylvester's doubling; null if these give none of this size.
 */
export function hadamard(n: number): Float64Array | null {
  const found = n <= 2 ? sylvester(n) : n % 4 === 0 ? (doubled(n) ?? paley(n)) : null;
  // A column may change its sign: H diag(s) is a Hadamard matrix as well.
  return found?.map((x, i) => x * found[i % n]) ?? null;
}

const sylvester = (n: number): Float64Array | null =>
  n === 1 ? Float64Array.of(1) : n === 2 ? Float64Array.of(1, 1, 1, -1) : null;

/** [H, H; H, -H] */
function doubled(n: number): Float64Array | null {
  const half = hadamard(n / 2);
  const m = n / 2;
  return half && matrixOf(n, (i, j) => half[(i % m) * m + (j % m)] * (i >= m && j >= m ? -1 : 1));
}

/**
 * With the Jacobsthal matrix C = [0, 1; +-1, chi(i - j)] of a prime q: 1 + C for q = n - 1 = 3 mod 4;
 * [C + 1, C - 1; C - 1, -C - 1] for q = n / 2 - 1 = 1 mod 4.
 */
function paley(n: number): Float64Array | null {
  const isFirst = isPrime(n - 1) && n % 4 === 0;
  const q = isFirst ? n - 1 : n / 2 - 1;
  if (!isFirst && !(isPrime(q) && q % 4 === 1)) return null;
  const squares = new Set(Array.from({ length: q - 1 }, (_, i) => (i + 1) ** 2 % q));
  const chi = (x: number): number => (x % q === 0 ? 0 : squares.has(((x % q) + q) % q) ? 1 : -1);
  const c = (i: number, j: number): number => {
    if (i === 0 && j === 0) return 0;
    if (i === 0) return 1;
    return j === 0 ? (isFirst ? -1 : 1) : chi(i - j);
  };
  if (isFirst) return matrixOf(n, (i, j) => c(i, j) + (i === j ? 1 : 0));
  const m = q + 1;
  return matrixOf(n, (i, j) => {
    const [row, column] = [i % m, j % m];
    const one = row === column ? 1 : 0;
    if (i >= m && j >= m) return -c(row, column) - one;
    return c(row, column) + (i < m && j < m ? one : -one);
  });
}

function matrixOf(n: number, at: (i: number, j: number) => number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => at(Math.floor(i / n), i % n));
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n > 1;
}

/**
 * A random orthogonal Q [n, n]: diag(s) H / sqrt(n) with random signs s where there is a Hadamard
 * matrix and `kind` asks for it, else rows drawn from a normal distribution and made orthonormal.
 *
 * With `keepsMean` Q 1 = 1, so that Q commutes with the subtraction of the mean: Q = V1^T V2 for two
 * orthogonal matrices whose first row is 1 / sqrt(n).
 */
export function randomRotation(
  n: number,
  random: Random,
  kind: "hadamard" | "random",
  keepsMean = false,
): Float64Array {
  const h = kind === "hadamard" ? hadamard(n)?.map((x) => x / Math.sqrt(n)) : null;
  const signs = Float64Array.from({ length: n }, () => (random.int(2) === 0 ? -1 : 1));
  if (!keepsMean) return h ? h.map((x, i) => x * signs[Math.floor(i / n)]) : drawn();
  // H^T diag(s) H with s_0 = 1, for the first row of H is the one that both have.
  signs[0] = 1;
  const [first, second] = h
    ? [h, h.map((x, i) => x * signs[Math.floor(i / n)])]
    : [drawn(true), drawn(true)];
  return multiplyTransposed(transpose(first, n, n), transpose(second, n, n), n, n, n);

  function drawn(withOnes = false): Float64Array {
    const rows = Float64Array.from({ length: n * n }, (_, i) =>
      withOnes && i < n ? 1 : random.normal(),
    );
    return orthonormalRows(rows, n, n);
  }
}
