/** @file Nearest sums of Kronecker products: exact ones are found again, and error falls with their number. */
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import type { Composed } from "../../src/weights/weight.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env = environmentOf(nets[0]);
const random = createRandom(8);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);

const [rows, columns] = [60, 84];
const layerOf = (w: Float32Array) =>
  layerModel(["N", rows], (g, x) => g.MatMul(x, g.constant(w, { shape: [rows, columns] })));

async function project(w: Float32Array, ratio: number): Promise<Composed> {
  const { model } = await apply(layerOf(w), "kronecker", { ratio }, env);
  return weightsIn(model)[0].weight as Composed;
}

const power = (values: Float32Array): number => values.reduce((sum, w) => sum + w * w, 0);
const errorOf = (w: Float32Array, near: Float32Array): number =>
  power(w.map((x, i) => x - near[i])) / power(w);

describe("kronecker", () => {
  test("a Kronecker product of the shape that is tried is found again", async () => {
    const w = normal(rows * columns);
    const { theta } = await project(w, 8);
    const [m1, n1] = theta.a.shape;
    const [m2, n2] = [rows / m1, columns / n1];
    const [a, b] = [normal(m1 * n1), normal(m2 * n2)];
    const product = Float32Array.from({ length: rows * columns }, (_, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      const left = a[Math.floor(row / m2) * n1 + Math.floor(column / n2)];
      return left * b[(row % m2) * n2 + (column % n2)];
    });
    expect(errorOf(product, (await project(product, 8)).values)).toBeLessThan(1e-10);
  });

  test("keeps to the ratio, and more numbers are never worse", async () => {
    const w = normal(rows * columns);
    let last = Number.POSITIVE_INFINITY;
    for (const ratio of [16, 8, 4, 2, 1.2]) {
      const weight = await project(w, ratio);
      const stored = weight.theta.a.values.length + weight.theta.b.values.length;
      expect(stored).toBeLessThanOrEqual(w.length / ratio);
      const error = errorOf(w, weight.values);
      expect(error).toBeLessThan(last);
      last = error;
    }
  });

  test("is nearer than any other product of the same shape that a step from it leads to", async () => {
    const w = normal(rows * columns);
    const best = await project(w, 16);
    const least = errorOf(w, best.values);
    const { a, b } = best.theta;
    const [m1, n1, terms] = a.shape;
    const [, m2, n2] = b.shape;
    for (let trial = 0; trial < 20; trial++) {
      const [da, db] = [normal(a.values.length), normal(b.values.length)];
      const moved = Float32Array.from({ length: w.length }, (_, i) => {
        const [row, column] = [Math.floor(i / columns), i % columns];
        const left = (Math.floor(row / m2) * n1 + Math.floor(column / n2)) * terms;
        const right = (row % m2) * n2 + (column % n2);
        let sum = 0;
        for (let r = 0; r < terms; r++) {
          const x = a.values[left + r] + 0.02 * da[left + r];
          sum += x * (b.values[r * m2 * n2 + right] + 0.02 * db[r * m2 * n2 + right]);
        }
        return sum;
      });
      expect(errorOf(w, moved)).toBeGreaterThan(least);
    }
    expect(m1 * m2).toBe(rows);
  });
});
