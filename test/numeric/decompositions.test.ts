/** @file Decompositions against closed forms and brute force. */
import { describe, expect, it } from "vitest";
import { cpAls, cpError, cpOf, orthogonalTerms, termNorms } from "../../src/numeric/cp-als.ts";
import { orthonormalRows, qr } from "../../src/numeric/qr.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { truncatedSvd } from "../../src/numeric/randomized-svd.ts";
import { svd } from "../../src/numeric/svd.ts";
import { hooi, hosvd, type Tucker } from "../../src/numeric/tucker.ts";
import { vbmfRank } from "../../src/numeric/vbmf.ts";

function normals(length: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length }, () => random.normal());
}

/** Textbook triple loop: a [n, m] times b [m, p]. */
function product(a: Float64Array, b: Float64Array, n: number, m: number, p: number): Float64Array {
  const c = new Float64Array(n * p);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < m; k++)
      for (let j = 0; j < p; j++) c[i * p + j] += a[i * m + k] * b[k * p + j];
  return c;
}

const energy = (a: Float64Array): number => a.reduce((sum, x) => sum + x * x, 0);
const distance = (a: Float64Array, b: Float64Array): number => energy(a.map((x, i) => x - b[i]));

function flip(a: Float64Array, rows: number, cols: number): Float64Array {
  return Float64Array.from(
    { length: rows * cols },
    (_, at) => a[(at % rows) * cols + Math.floor(at / rows)],
  );
}

function expectOrthonormalRows(q: Float64Array, count: number, length: number): void {
  const gram = product(q, flip(q, count, length), count, length, count);
  for (let i = 0; i < count; i++) gram[i * count + i] -= 1;
  expect(energy(gram)).toBeLessThan(1e-24);
}

describe("qr", () => {
  it("agrees with a factorization worked by hand", () => {
    // Gram-Schmidt: (3,4) has norm 5; (1,2) = 2.2 (3,4)/5 + 0.4 (-4,3)/5.
    const { q, r } = qr(Float64Array.of(3, 1, 4, 2), 2, 2);
    const [expectedQ, expectedR] = [
      [0.6, -0.8, 0.8, 0.6],
      [5, 2.2, 0, 0.4],
    ];
    for (let i = 0; i < 4; i++) {
      expect(q[i]).toBeCloseTo(expectedQ[i], 14);
      expect(r[i]).toBeCloseTo(expectedR[i], 14);
    }
  });

  it("gives orthonormal columns and a triangle, whatever the rank and the scale", () => {
    const low = product(normals(9 * 2, 1), normals(2 * 5, 2), 9, 2, 5);
    const tiny = normals(45, 3).map((x) => x * 1e-200);
    for (const a of [normals(45, 4), low, tiny, new Float64Array(45)]) {
      const { q, r } = qr(a, 9, 5);
      expectOrthonormalRows(flip(q, 9, 5), 5, 9);
      for (let i = 0; i < 5; i++) {
        expect(r[i * 5 + i]).toBeGreaterThanOrEqual(0);
        for (let j = 0; j < i; j++) expect(r[i * 5 + j]).toBe(0);
      }
      expect(distance(product(q, r, 9, 5, 5), a)).toBeLessThanOrEqual(1e-26 * energy(a));
    }
    expectOrthonormalRows(orthonormalRows(normals(7 * 7, 5), 7, 7), 7, 7);
  });
});

describe("truncatedSvd", () => {
  it("finds an exact low rank", () => {
    const a = product(normals(90 * 4, 1), normals(4 * 70, 2), 90, 4, 70);
    const found = truncatedSvd(a, 90, 70, 6, createRandom(3));
    const whole = svd(a, 90, 70);
    expect(found.s.length).toBe(6);
    for (let k = 0; k < 4; k++) expect(found.s[k] / whole.s[k]).toBeCloseTo(1, 10);
    const scaled = found.u.map((x, at) => x * found.s[at % 6]);
    expect(distance(product(scaled, flip(found.v, 70, 6), 90, 6, 70), a)).toBeLessThan(
      1e-18 * energy(a),
    );
    // The same signs as those of the whole decomposition.
    expect(found.u[0] * whole.u[0]).toBeGreaterThan(0);
  });

  it("comes near the best error of a spectrum that falls slowly, and knows its error", () => {
    const [rows, cols, rank] = [80, 120, 12];
    const left = orthonormalRows(normals(80 * 80, 4), 80, 80);
    const right = orthonormalRows(normals(80 * 120, 5), 80, 120);
    const s = Float64Array.from({ length: 80 }, (_, k) => 1 / Math.sqrt(1 + k));
    const a = product(
      flip(left, 80, 80).map((x, at) => x * s[at % 80]),
      right,
      80,
      80,
      120,
    );
    const best = energy(s.slice(rank));
    for (const [r, n, matrix] of [
      [rows, cols, a],
      [cols, rows, flip(a, rows, cols)],
    ] as const) {
      const found = truncatedSvd(matrix, r, n, rank, createRandom(6));
      expectOrthonormalRows(flip(found.u, r, rank), rank, r);
      expectOrthonormalRows(flip(found.v, n, rank), rank, n);
      const scaled = found.u.map((x, at) => x * found.s[at % rank]);
      const error = distance(product(scaled, flip(found.v, n, rank), r, rank, n), matrix);
      expect(error).toBeCloseTo(energy(a) - energy(found.s), 10);
      expect(error / best).toBeLessThan(1.01);
    }
  });
});

/** x' of a Tucker decomposition of sizes [n, c, p], by its definition. */
function rebuilt(
  { left, right, core }: Tucker,
  n: number,
  c: number,
  p: number,
  a: number,
  b: number,
) {
  const x = new Float64Array(n * c * p);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < c; j++)
      for (let t = 0; t < p; t++)
        for (let k = 0; k < a; k++)
          for (let l = 0; l < b; l++)
            x[(i * c + j) * p + t] +=
              left[k * n + i] * right[l * c + j] * core[(k * b + l) * p + t];
  return x;
}

describe("tucker", () => {
  const [n, c, p] = [8, 6, 5];

  it("recovers a tensor of exact ranks", () => {
    const [a, b] = [3, 2];
    const core = normals(a * b * p, 1);
    const exact = { left: normals(a * n, 2), right: normals(b * c, 3), core, error: 0 };
    const x = rebuilt(exact, n, c, p, a, b);
    const found = hooi(x, hosvd(x, [n, c, p]), [a, b]);
    expect(found.error).toBeLessThan(1e-12 * energy(x));
    expect(distance(rebuilt(found, n, c, p, a, b), x)).toBeLessThan(1e-20 * energy(x));
  });

  it("tells the error of every pair of ranks, which iterating only lowers", () => {
    const x = normals(n * c * p, 4);
    const start = hosvd(x, [n, c, p]);
    let improved = 0;
    for (let a = 1; a <= n; a++) {
      for (let b = 1; b <= c; b++) {
        const bound = energy(x) - start.kept[a * (c + 1) + b];
        const plain = hooi(x, start, [a, b], { sweeps: 0 });
        expect(distance(rebuilt(plain, n, c, p, a, b), x)).toBeCloseTo(bound, 9);
        const found = hooi(x, start, [a, b], { sweeps: 30, tolerance: 0 });
        expectOrthonormalRows(found.left, a, n);
        expectOrthonormalRows(found.right, b, c);
        const error = distance(rebuilt(found, n, c, p, a, b), x);
        expect(error).toBeCloseTo(found.error, 9);
        expect(error).toBeLessThanOrEqual(bound + 1e-9);
        improved += bound - error;
        // Only one mode cut: the error is the tail of that unfolding's singular values.
        const unfolding = b === c ? svd(x, n, c * p).s.slice(a) : null;
        if (unfolding) expect(error).toBeCloseTo(energy(unfolding), 9);
      }
    }
    expect(improved).toBeGreaterThan(0.01 * energy(x));
  });
});

/** A sum of `rank` terms over modes of the given sizes, by its definition. */
function sumOfTerms(factors: readonly Float64Array[], sizes: readonly number[], rank: number) {
  const x = new Float64Array(sizes.reduce((a, b) => a * b, 1));
  for (let r = 0; r < rank; r++) {
    for (let at = 0; at < x.length; at++) {
      let [value, rest] = [1, at];
      for (let mode = sizes.length - 1; mode >= 0; mode--) {
        value *= factors[mode][r * sizes[mode] + (rest % sizes[mode])];
        rest = Math.floor(rest / sizes[mode]);
      }
      x[at] += value;
    }
  }
  return x;
}

const modes = [
  [6, 5, 4],
  [6, 5, 3, 3],
  [4, 5, 2, 3, 2],
];

describe("CP", () => {
  it.each(modes.map((sizes) => [sizes]))("recovers an exact rank of %j", (sizes) => {
    const rank = 3;
    const factors = sizes.map((size, mode) => normals(rank * size, 20 + mode));
    const x = sumOfTerms(factors, sizes, rank);
    const start = cpOf(orthogonalTerms(x, sizes).slice(0, rank), sizes);
    const found = cpAls(x, start, { damping: 1e-9, sweeps: 400, tolerance: 0 });
    expect(distance(sumOfTerms(found.factors, sizes, rank), x)).toBeLessThan(1e-9 * energy(x));
  });

  it.each(modes.map((sizes) => [sizes]))("starts from orthogonal terms of %j", (sizes) => {
    const x = normals(
      sizes.reduce((a, b) => a * b, 1),
      8,
    );
    const terms = orthogonalTerms(x, sizes);
    let last = Infinity;
    for (const rank of [1, 4, 12, terms.length]) {
      const start = cpOf(terms.slice(0, rank), sizes);
      const error = distance(sumOfTerms(start.factors, sizes, rank), x);
      const tail = terms.slice(rank).reduce((sum, { size }) => sum + size ** 2, 0);
      expect(error).toBeCloseTo(tail, 9);
      expect(cpError(x, start)).toBeCloseTo(error, 9);
      const found = cpAls(x, start, { damping: 1e-3 });
      const norms = termNorms(found);
      expect(cpError(x, found)).toBeLessThanOrEqual(error * 1.001 + 1e-3 * energy(x));
      expect(error).toBeLessThan(last);
      expect(energy(norms)).toBeLessThanOrEqual(energy(x) / 1e-3);
      last = error;
    }
  });

  it("keeps the terms bounded where no best approximation exists", () => {
    // a a b + a b a + b a a has rank 3 and is a limit of tensors of rank 2 (de Silva & Lim 2008):
    // without a guard the error goes to 0 and the norms go to infinity.
    const x = Float64Array.of(0, 1, 1, 0, 1, 0, 0, 0);
    const factors = [normals(4, 1), normals(4, 2), normals(4, 3)];
    const start = { sizes: [2, 2, 2], rank: 2, factors };
    const endless = { sweeps: 3000, tolerance: 0 };
    const free = cpAls(x, start, { damping: 1e-13, ...endless });
    expect(cpError(x, free)).toBeLessThan(1e-3);
    expect(Math.max(...termNorms(free))).toBeGreaterThan(5);
    let last = Infinity;
    for (const damping of [1e-3, 1e-2, 1e-1]) {
      const guarded = cpAls(x, start, { damping, ...endless });
      const size = energy(termNorms(guarded));
      expect(size).toBeLessThan(energy(x) / damping);
      expect(size).toBeLessThan(last);
      last = size;
    }
  });

  it("has the closed form of one mode: x (G + damping diag G)^-1 is a minimum", () => {
    const [sizes, rank, damping] = [[4, 3, 3], 2, 0.05];
    const x = normals(36, 9);
    const start = cpOf(orthogonalTerms(x, sizes).slice(0, rank), sizes);
    const found = cpAls(x, start, { damping, sweeps: 500, tolerance: 0 });
    const objective = (factors: readonly Float64Array[]): number => {
      const norms = termNorms({ sizes, rank, factors });
      return distance(sumOfTerms(factors, sizes, rank), x) + damping * energy(norms);
    };
    const least = objective(found.factors);
    for (const [mode, factor] of found.factors.entries()) {
      for (let at = 0; at < factor.length; at++) {
        for (const step of [-1e-3, 1e-3]) {
          const moved = found.factors.map((f) => f.slice());
          moved[mode][at] += step;
          expect(objective(moved)).toBeGreaterThan(least - 1e-9);
        }
      }
    }
  });
});

describe("vbmfRank", () => {
  it.each([
    [60, 90, 5],
    [90, 60, 12],
    [40, 40, 3],
  ])("finds the planted rank of a %i x %i matrix: %i", (rows, cols, rank) => {
    const signal = product(normals(rows * rank, 1), normals(rank * cols, 2), rows, rank, cols);
    const noise = normals(rows * cols, 3);
    const matrix = signal.map((x, i) => x + 0.5 * noise[i]);
    const found = vbmfRank(svd(matrix, rows, cols).s, rows, cols);
    expect(found.rank).toBe(rank);
    expect(found.variance).toBeGreaterThan(0.2);
    expect(found.variance).toBeLessThan(0.3);
  });

  it("finds nothing in noise alone, and the exact rank without noise", () => {
    const noise = svd(normals(50 * 80, 4), 50, 80).s;
    expect(vbmfRank(noise, 50, 80).rank).toBe(0);
    const exact = product(normals(50 * 7, 5), normals(7 * 80, 6), 50, 7, 80);
    expect(vbmfRank(svd(exact, 50, 80).s, 50, 80).rank).toBe(7);
    expect(vbmfRank([0, 0], 2, 3)).toEqual({ rank: 0, variance: 0 });
  });
});
