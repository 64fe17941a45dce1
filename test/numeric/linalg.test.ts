import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cholesky, divideByLower, solveSpd } from "../../src/numeric/cholesky.ts";
import { symmetricEigen } from "../../src/numeric/eigen.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { energyRank, type Svd, svd, truncate } from "../../src/numeric/svd.ts";

function fill(rows: number, cols: number, f: (i: number, j: number) => number): Float64Array {
  return Float64Array.from({ length: rows * cols }, (_, at) => f(Math.floor(at / cols), at % cols));
}

function normals(rows: number, cols: number, seed = 1): Float64Array {
  const random = createRandom(seed);
  return fill(rows, cols, () => random.normal());
}

/** Textbook triple loop: a [n, m] times b [m, p]. */
function product(a: Float64Array, b: Float64Array, n: number, m: number, p: number): Float64Array {
  return fill(n, p, (i, j) => {
    let sum = 0;
    for (let k = 0; k < m; k++) sum += a[i * m + k] * b[k * p + j];
    return sum;
  });
}

const flip = (a: Float64Array, rows: number, cols: number) =>
  fill(cols, rows, (j, i) => a[i * cols + j]);

function rebuild({ rows, cols, rank, u, s, v }: Svd): Float64Array {
  const scaled = u.map((x, at) => x * s[at % rank]);
  return product(scaled, flip(v, cols, rank), rows, rank, cols);
}

function largestGap(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i] - b[i]));
  return largest;
}

function expectOrthonormal(columns: Float64Array, length: number, count: number, within = 1e-9) {
  const gram = product(flip(columns, length, count), columns, count, length, count);
  expect(
    largestGap(
      gram,
      fill(count, count, (i, j) => (i === j ? 1 : 0)),
    ),
  ).toBeLessThan(within);
}

function expectSvd(a: Float64Array, rows: number, cols: number): Svd {
  const full = svd(a, rows, cols);
  expect(full.rank).toBe(Math.min(rows, cols));
  expectOrthonormal(full.u, rows, full.rank);
  expectOrthonormal(full.v, cols, full.rank);
  expect([...full.s]).toEqual([...full.s].sort((x, y) => y - x));
  expect(largestGap(rebuild(full), a)).toBeLessThanOrEqual(1e-12 * full.s[0]);
  return full;
}

describe("svd", () => {
  it("agrees with numpy", () => {
    // i,j=np.mgrid[0:6,0:9]; np.linalg.svd(((i*i*7+j*13+i*j*5)%17-8).astype(float), compute_uv=False)
    const numpy = [
      21.284293080173963, 16.7032590461844, 15.28163536635873, 11.065928224116881,
      5.826692959858331, 1.430561964125409,
    ];
    const a = fill(6, 9, (i, j) => ((i * i * 7 + j * 13 + i * j * 5) % 17) - 8);
    expect(largestGap(expectSvd(a, 6, 9).s, numpy)).toBeLessThan(1e-12);
    expect(largestGap(expectSvd(flip(a, 6, 9), 9, 6).s, numpy)).toBeLessThan(1e-12);
  });

  it("finds small singular values that the Gram matrix alone would lose", () => {
    // np.linalg.svd(scipy.linalg.hilbert(5), compute_uv=False)
    const numpy = [
      1.567050691098231, 0.20853421861101334, 0.01140749162341979, 0.0003058980401511817,
      3.287928772176189e-6,
    ];
    const { s } = expectSvd(
      fill(5, 5, (i, j) => 1 / (i + j + 1)),
      5,
      5,
    );
    for (let i = 0; i < 5; i++) expect(s[i] / numpy[i]).toBeCloseTo(1, 9);
    // Singular values 1, 1e-1 .. 1e-14 by construction, hidden between two rotations.
    const q = svd(normals(15, 15, 2), 15, 15).u;
    const p = svd(normals(25, 15, 3), 25, 15).u;
    const a = product(
      q.map((x, at) => x * 10 ** -(at % 15)),
      flip(p, 25, 15),
      15,
      15,
      25,
    );
    const graded = expectSvd(a, 15, 25).s;
    for (let i = 0; i < 15; i++) expect(Math.abs(graded[i] - 10 ** -i)).toBeLessThan(1e-14);
  });

  it("keeps u and v orthonormal where the matrix has no rank", () => {
    const low = product(normals(40, 5, 4), normals(5, 30, 5), 40, 5, 30);
    const { s } = expectSvd(low, 40, 30);
    expect(s[4]).toBeGreaterThan(1);
    expect([...s.subarray(5)]).toEqual(new Array(25).fill(0));
    expectSvd(new Float64Array(12), 3, 4);
    expectSvd(Float64Array.of(0, 0, 3, 0, 0, 0), 2, 3);
    expectSvd(
      fill(20, 20, (i, j) => (i === j ? 1 : 0)),
      20,
      20,
    );
    expectSvd(Float64Array.of(-2), 1, 1);
  });

  it("takes matrices of which only a few columns are not zero, single floats too", () => {
    // The tridiagonal matrix of the first is all rounding but for one entry, and QL went on for ever.
    for (const [seed, kept] of [
      [33, 1],
      [37, 3],
      [30, 2],
    ]) {
      const random = createRandom(seed);
      const a = Float64Array.from(
        Float32Array.from({ length: 3600 }, (_, i) => (i % 60 < kept ? random.normal() : 0)),
      );
      const { s } = expectSvd(a, 60, 60);
      expect(s.filter((x) => x > 1e-10 * s[0])).toHaveLength(kept);
    }
  });

  it("holds on random shapes and any scale", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: -300, max: 300 }),
        fc.integer(),
        (rows, cols, exponent, seed) => {
          expectSvd(
            normals(rows, cols, seed).map((x) => x * 10 ** exponent),
            rows,
            cols,
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  it("fixes the signs: the largest entry of every column of u is positive", () => {
    for (const [rows, cols] of [
      [7, 11],
      [11, 7],
    ]) {
      const a = normals(rows, cols, 6);
      const { u, rank } = svd(a, rows, cols);
      const negated = svd(
        a.map((x) => -x),
        rows,
        cols,
      );
      for (let j = 0; j < rank; j++) {
        const column = Array.from({ length: rows }, (_, i) => u[i * rank + j]);
        expect(Math.max(...column)).toBe(Math.max(...column.map(Math.abs)));
      }
      expect(largestGap(negated.u, u)).toBeLessThan(1e-12);
    }
  });

  it("truncated, leaves the discarded tail as its error (Eckart-Young)", () => {
    const a = normals(20, 33, 7);
    const full = svd(a, 20, 33);
    for (const rank of [0, 1, 7, 19, 20, 99]) {
      const part = truncate(full, rank);
      expect(part.rank).toBe(Math.min(rank, 20));
      const rest = rebuild(part);
      const error = a.reduce((sum, x, i) => sum + (x - rest[i]) ** 2, 0);
      const tail = full.s.subarray(part.rank).reduce((sum, x) => sum + x * x, 0);
      expect(error).toBeCloseTo(tail, 9);
    }
  });

  it("reads float32 and refuses what is not finite", () => {
    expect(svd(Float32Array.of(3, 0, 0, 4), 2, 2).s).toEqual(Float64Array.of(4, 3));
    expect(() => svd(Float64Array.of(1, Number.NaN), 1, 2)).toThrow("not finite");
  });
});

describe("energyRank", () => {
  it("is the least rank that keeps the energy", () => {
    const s = [4, 3, 2, 1, 0]; // energies 16, 9, 4, 1, 0 of 30
    expect([0, 0.5, 0.54, 0.83, 0.84, 0.966, 0.999, 1].map((e) => energyRank(s, e))).toEqual([
      0, 1, 2, 2, 3, 3, 4, 4,
    ]);
    expect(energyRank([0, 0], 1)).toBe(0);
  });
});

describe("symmetricEigen", () => {
  it("agrees with numpy and with a closed form", () => {
    // i,j=np.mgrid[0:5,0:5]; np.linalg.eigvalsh(((i*j*3+i+j)%7-3).astype(float))[::-1]
    const s = fill(5, 5, (i, j) => ((i * j * 3 + i + j) % 7) - 3);
    expect(
      largestGap(
        symmetricEigen(s, 5).values,
        [
          5.690415759823434, 1.3367801132952852e-15, 3.2693924245409114e-17, -3.690415759823429,
          -5.0,
        ],
      ),
    ).toBeLessThan(1e-13);
    // The second-difference matrix: 2 - 2 cos(pi j / (n + 1)).
    const n = 30;
    const laplace = fill(n, n, (i, j) => (i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0));
    const expected = Array.from(
      { length: n },
      (_, j) => 2 + 2 * Math.cos((Math.PI * (j + 1)) / (n + 1)),
    );
    expect(largestGap(symmetricEigen(laplace, n).values, expected)).toBeLessThan(1e-13);
  });

  it("satisfies a v = lambda v with orthonormal rows, reading the lower triangle only", () => {
    const n = 37;
    const b = normals(n, n, 8);
    const a = fill(n, n, (i, j) => b[i * n + j] + b[j * n + i]);
    const lower = fill(n, n, (i, j) => (i >= j ? a[i * n + j] : 0));
    const { values, vectors } = symmetricEigen(lower, n);
    expectOrthonormal(flip(vectors, n, n), n, n, 1e-13);
    const left = product(vectors, a, n, n, n);
    expect(
      largestGap(
        left,
        vectors.map((x, at) => x * values[Math.floor(at / n)]),
      ),
    ).toBeLessThan(1e-12);
    expect(symmetricEigen(new Float64Array(9), 3).values).toEqual(new Float64Array(3));
    expect(symmetricEigen(Float64Array.of(7), 1).values).toEqual(Float64Array.of(7));
    expect(symmetricEigen(new Float64Array(0), 0).values.length).toBe(0);
  });

  it("takes entries whose squares vanish, as rounding leaves in matrices of low rank", () => {
    // Eigenvalues of diag(1, 1, 2) but for 1e-320.
    const tiny = Float64Array.of(1, 0, 1e-160, 0, 1, 0, 1e-160, 0, 2);
    expect([...symmetricEigen(tiny, 3).values]).toEqual([2, 1, 1]);
    const beside = Float64Array.of(0, 1e-310, 0, 1e-310, 0, 1e-310, 0, 1e-310, 1);
    expect([...symmetricEigen(beside, 3).values]).toEqual(
      [1, 0, 0].map((x) => expect.closeTo(x, 12)),
    );
    // Rows of zeros among others, as the channels of a trained network that are dead.
    for (const [n, rank, seed] of [
      [24, 5, 1],
      [40, 17, 2],
      [64, 30, 3],
    ]) {
      const b = normals(n, rank, seed);
      for (let i = 0; i < n * rank; i++)
        if (Math.floor(i / rank) % 3 > 0) b[i] *= i % 2 ? 0 : 1e-90;
      const a = product(b, flip(b, n, rank), n, rank, n);
      const { values, vectors } = symmetricEigen(a, n);
      expectOrthonormal(flip(vectors, n, n), n, n);
      const back = product(
        flip(vectors, n, n),
        vectors.map((x, at) => x * values[Math.floor(at / n)]),
        ...([n, n, n] as const),
      );
      expect(largestGap(back, a)).toBeLessThan(1e-12 * values[0]);
    }
  });
});

describe("cholesky", () => {
  const hilbert = fill(5, 5, (i, j) => 1 / (i + j + 1));

  it("factors and solves the Hilbert matrix", () => {
    const l = cholesky(hilbert, 5);
    expect(largestGap(product(l, flip(l, 5, 5), 5, 5, 5), hilbert)).toBeLessThan(1e-15);
    // Exact: invhilbert(5) @ [1,2,3,4,5] = [125, -2880, 14490, -24640, 13230]
    const x = solveSpd(hilbert, 5, [1, 2, 3, 4, 5]);
    [125, -2880, 14490, -24640, 13230].forEach((value, i) => {
      expect(x[i] / value).toBeCloseTo(1, 9);
    });
  });

  it("solves for many right-hand sides at once", () => {
    const b = normals(21, 33, 9);
    const a = product(b, flip(b, 21, 33), 21, 33, 21);
    const x = normals(21, 4, 10);
    expect(largestGap(solveSpd(a, 21, product(a, x, 21, 21, 4), 4), x)).toBeLessThan(1e-10);
  });

  it("divides by a triangular factor from the right", () => {
    const b = normals(21, 33, 9);
    const l = cholesky(product(b, flip(b, 21, 33), 21, 33, 21), 21);
    const x = normals(4, 21, 10);
    expect(largestGap(divideByLower(product(x, l, 4, 21, 21), l, 21), x)).toBeLessThan(1e-10);
  });

  it("says so when the matrix is not positive definite", () => {
    expect(() => cholesky(Float64Array.of(1, 2, 2, 1), 2)).toThrow(
      "bad-number: cholesky: the 2 x 2 matrix is not positive definite (row 1). Add damping to its diagonal.",
    );
  });

  it("takes what rounding leaves of a singular matrix for nothing", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const thin = normals(8, 5, seed);
      const gram = product(thin, flip(thin, 8, 5), 8, 5, 8);
      expect(() => cholesky(gram, 8, 2 ** -45)).toThrow("not positive definite");
      expect(() => cholesky(Float32Array.from(gram), 8, 2 ** -20)).toThrow("not positive definite");
    }
  });
});
