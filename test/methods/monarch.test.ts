/** @file Nearest Monarch matrices: slices of rank 1, exact ones found again. */
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import { svd } from "../../src/numeric/svd.ts";
import type { Composed } from "../../src/weights/weight.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env = environmentOf(nets[0]);
const random = createRandom(18);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);

const [rows, columns] = [60, 84];

async function project(w: Float32Array, ratio: number): Promise<Composed> {
  const model = layerModel(["N", rows], (g, x) =>
    g.MatMul(x, g.constant(w, { shape: [rows, columns] })),
  );
  const { model: product } = await apply(model, "monarch", { ratio }, env);
  return weightsIn(product)[0].weight as Composed;
}

const power = (values: Float32Array): number => values.reduce((sum, w) => sum + w * w, 0);
const errorOf = (w: Float32Array, near: Float32Array): number =>
  power(w.map((x, i) => x - near[i]));

/** Rows (l, j), columns (i, t): all rows l q + j and columns i width + t of one j and i. */
function sliceOf(w: Float32Array, q: number, k: number, j: number, i: number): Float32Array {
  const [height, width] = [rows / q, columns / k];
  return Float32Array.from({ length: height * width }, (_, at) => {
    const row = Math.floor(at / width) * q + j;
    return w[row * columns + i * width + (at % width)];
  });
}

describe("monarch", () => {
  test("every slice has rank 1, and its error is what its other singular values hold", async () => {
    const w = normal(rows * columns);
    const { theta, values } = await project(w, 6);
    const [q, height, k] = theta.left.shape;
    const width = theta.right.shape[2];
    let tail = 0;
    for (let j = 0; j < q; j++) {
      for (let i = 0; i < k; i++) {
        const near = svd(sliceOf(values, q, k, j, i), height, width).s;
        expect(near[1] ?? 0).toBeLessThan(1e-5 * near[0]);
        for (const s of svd(sliceOf(w, q, k, j, i), height, width).s.subarray(1)) tail += s * s;
      }
    }
    expect(errorOf(w, values) / tail).toBeCloseTo(1, 4);
  });

  test("a Monarch matrix of the blocks that are tried is found again", async () => {
    const { theta } = await project(normal(rows * columns), 6);
    const [q, height, k] = theta.left.shape;
    const width = theta.right.shape[2];
    const [left, right] = [normal(q * height * k), normal(k * q * width)];
    const product = Float32Array.from({ length: rows * columns }, (_, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const [l, j] = [Math.floor(row / q), row % q];
      const [i, t] = [Math.floor(column / width), column % width];
      return left[(j * height + l) * k + i] * right[(i * q + j) * width + t];
    });
    const { values } = await project(product, 6);
    expect(errorOf(product, values)).toBeLessThan(1e-9 * power(product));
  });

  test("keeps to the ratio, and says where no blocks do", async () => {
    const { theta } = await project(normal(rows * columns), 8);
    const stored = theta.left.values.length + theta.right.values.length;
    expect(stored).toBeLessThanOrEqual((rows * columns) / 8);
    const model = layerModel(["N", 67], (g, x) =>
      g.MatMul(x, g.constant(normal(67 * 71), { shape: [67, 71] })),
    );
    const { skipped } = await apply(model, "monarch", { ratio: 40 }, env);
    expect(skipped[0].reason).toBe("has no Monarch matrix of 118 numbers: 67 x 71");
  });
});
