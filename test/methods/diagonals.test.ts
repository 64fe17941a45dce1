/** @file Fastfood and ACDC: their transforms, and diagonals by least squares. */
import { describe, expect, test } from "vitest";
import { cosines, fitDiagonals, hadamard } from "../../src/numeric/diagonals.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { permutations } from "../../src/weights/forms/fastfood.ts";
import { composed, leaf } from "../../src/weights/weight.ts";
import { errorOf, normals, project, storedIn } from "./structured.ts";

const normal = normals(61);

const product = (a: ArrayLike<number>, b: ArrayLike<number>, n: number): Float64Array =>
  Float64Array.from({ length: n * n }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[Math.floor(at / n) * n + k] * b[k * n + (at % n)];
    return sum;
  });
const flip = (a: ArrayLike<number>, n: number): Float64Array =>
  Float64Array.from({ length: n * n }, (_, at) => a[(at % n) * n + Math.floor(at / n)]);
const diagonal = (x: ArrayLike<number>): Float64Array =>
  Float64Array.from({ length: x.length ** 2 }, (_, at) =>
    at % (x.length + 1) === 0 ? x[at / (x.length + 1)] : 0,
  );
const identity = (n: number) => diagonal(new Float64Array(n).fill(1));

/** M_0 diag(x_1) M_1 ... by plain products. */
const expand = (matrices: readonly Float64Array[], xs: readonly ArrayLike<number>[], n: number) =>
  xs.reduce<Float64Array>(
    (w, x, k) => product(product(w, diagonal(x), n), matrices[k + 1], n),
    matrices[0],
  );

describe("transforms", () => {
  test("the Hadamard matrix is Sylvester's, and orthonormal", () => {
    let h = [[1]];
    for (let n = 1; n < 16; n *= 2) {
      h = [...h.map((row) => [...row, ...row]), ...h.map((row) => [...row, ...row.map((x) => -x)])];
    }
    expect(
      errorOf(
        h.flat(),
        hadamard(16).map((x) => 4 * x),
      ),
    ).toBeLessThan(1e-24);
    expect(errorOf(identity(16), product(hadamard(16), flip(hadamard(16), 16), 16))).toBeLessThan(
      1e-24,
    );
  });

  test("the DCT-II is its sum of cosines, and orthonormal for any size", () => {
    const n = 11;
    const c = cosines(n);
    for (let k = 0; k < n; k++) {
      for (let t = 0; t < n; t++) {
        const scale = k === 0 ? Math.sqrt(1 / n) : Math.sqrt(2 / n);
        expect(c[k * n + t]).toBeCloseTo(scale * Math.cos((Math.PI / n) * (t + 0.5) * k), 12);
      }
    }
    expect(errorOf(identity(n), product(c, flip(c, n), n))).toBeLessThan(1e-24);
  });

  test("seeds give permutations, another one for each block", () => {
    const orders = permutations(12345, 678, 3, 32);
    for (const order of orders) expect(new Set(order).size).toBe(32);
    expect(new Set(orders.map((order) => order.join())).size).toBe(3);
  });
});

describe("fitDiagonals", () => {
  const n = 8;
  const c = cosines(n);
  const matrices = [identity(n), c, flip(c, n), c, flip(c, n)];
  const random = createRandom(7);
  const signs = () => Float64Array.from({ length: n }, () => 2 * random.int(2) - 1);

  test("never enlarges the error, and in the end no step of one diagonal lowers it", () => {
    const w = Float64Array.from(normal(n * n));
    const start = matrices.slice(1).map(signs);
    let last = Number.POSITIVE_INFINITY;
    for (const sweeps of [1, 2, 4, 8, 60]) {
      const error = errorOf(w, expand(matrices, fitDiagonals(w, n, matrices, start, sweeps), n));
      expect(error).toBeLessThanOrEqual(last * (1 + 1e-9));
      last = error;
    }
    const found = fitDiagonals(w, n, matrices, start, 60);
    for (let trial = 0; trial < 20; trial++) {
      const step = normal(n);
      const moved = found.map((x, k) =>
        k === trial % found.length ? x.map((v, i) => v + 0.1 * step[i]) : x,
      );
      expect(errorOf(w, expand(matrices, moved, n))).toBeGreaterThan(last);
    }
  });

  test("comes back to the diagonals that W was made of", () => {
    const made = matrices.slice(1).map(() => Float64Array.from(normal(n), (x) => 1 + 0.3 * x));
    const w = expand(matrices, made, n);
    const near = made.map((x) => x.map((v) => v + 0.01));
    const before = errorOf(w, expand(matrices, near, n));
    const found = fitDiagonals(w, n, matrices, near, 30);
    expect(errorOf(w, expand(matrices, found, n))).toBeLessThan(before / 100);
  });

  test("rows and columns that stand over do not count", () => {
    const full = Float64Array.from(normal(n * n));
    const inside = (w: Float64Array) => w.filter((_, at) => at < 5 * n && at % n < 6);
    const padded = full.map((x, at) => (at < 5 * n && at % n < 6 ? x : 0));
    const start = matrices.slice(1).map(signs);
    const size = { height: 5, width: 6 };
    const cut = expand(matrices, fitDiagonals(padded, n, matrices, start, 20, size), n);
    const whole = expand(matrices, fitDiagonals(padded, n, matrices, start, 20), n);
    expect(errorOf(inside(full), inside(cut))).toBeLessThan(errorOf(inside(full), inside(whole)));
  });
});

describe.each(["fastfood", "acdc"] as const)("%s", (method) => {
  const [rows, columns] = [60, 84];

  test("keeps to the ratio; more numbers are never worse; drawn diagonals are farther", async () => {
    const w = normal(rows * columns);
    let last = 1;
    for (const ratio of [10, 4]) {
      const weight = await project(method, w, [rows, columns], { ratio });
      expect(storedIn(weight)).toBeLessThanOrEqual(w.length / ratio);
      const error = errorOf(w, weight.values);
      expect(error).toBeLessThan(last);
      last = error;
      if (ratio === 4) continue;
      const { form, theta, shape } = weight;
      for (let trial = 0; trial < 20; trial++) {
        const drawn = Object.entries(theta).map(([name, part]) => {
          if (!form.theta[name].learns) return [name, part] as const;
          const size = Math.sqrt(
            Array.from(part.values).reduce((sum, x) => sum + x * x, 0) / part.values.length,
          );
          const values = normal(part.values.length).map((x) => size * x);
          return [name, leaf(values, part.shape)] as const;
        });
        const other = composed(form, shape, Object.fromEntries(drawn));
        expect(errorOf(w, other.values)).toBeGreaterThan(error);
      }
    }
    await expect(project(method, w, [rows, columns], { ratio: 1000 })).rejects.toThrow(/^has no /);
  });
});
