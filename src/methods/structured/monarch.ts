/** @file Monarch: weight matrices as two block-diagonal ones with a permutation between them. */
import { z } from "zod";
import { applyStructured, monarchProducts, productOptions } from "../../layers/products.ts";
import { divisorsOf, type Matrix, whyNone } from "../../layers/structure.ts";
import { svd } from "../../numeric/svd.ts";
import { monarch as form } from "../../weights/forms/monarch.ts";
import { type Composed, composed, leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

export const monarch = defineMethod({
  title: "Monarch matrices",
  equation: "W = P L P^T R: W[(l, j), (i, t)] = L[j, l, i] R[i, j, t], each slice (j, i) of rank 1",
  cite: "Dao et al. 2022, arXiv 2204.00595, section 3",
  summary:
    "Weight matrices become two block-diagonal ones with a permutation between, rebuilt at load; train after it.",
  needs: [],
  isStart: true,
  options: z.object(productOptions),
  survey: [{}],
  neutral: { ratio: 1 },
  apply: (model, options, context) =>
    applyStructured(model, options, context, project, monarchProducts),
});

/**
 * The best Monarch matrix with at most `numbers` numbers. With row (l, j) and column (i, t) of W
 * [m, n], j one of q and i one of k, every slice W_ji [m / q, n / k] becomes the outer product of
 * L[j, :, i] and R[i, j, :], its first singular triple. That is the best rank-1 fit of each slice,
 * and so the best fit of W (section 3.3). It takes k m + q n numbers.
 */
function project({ values, rows, columns, shape }: Matrix, numbers: number): Composed | string {
  const sizes = divisorsOf(rows).flatMap((q) =>
    divisorsOf(columns).map((k) => ({ q, k, size: k * rows + q * columns })),
  );
  const fits = sizes.filter(({ size }) => size <= numbers);
  if (fits.length === 0) {
    return whyNone({ rows, columns }, numbers, "Monarch matrix");
  }
  // The sizes q and k that use most of the allowed numbers; of equal ones the smallest q.
  const { q, k } = fits.reduce((a, b) => (b.size > a.size ? b : a));
  const [height, width] = [rows / q, columns / k];
  const left = new Float32Array(q * height * k);
  const right = new Float32Array(k * q * width);
  const slice = new Float32Array(height * width);
  for (let j = 0; j < q; j++) {
    for (let i = 0; i < k; i++) {
      for (let at = 0; at < slice.length; at++) {
        const [l, t] = [Math.floor(at / width), at % width];
        slice[at] = values[(l * q + j) * columns + i * width + t];
      }
      const { u, s, v } = svd(slice, height, width);
      const root = Math.sqrt(s[0]);
      for (let l = 0; l < height; l++) left[(j * height + l) * k + i] = root * u[l * s.length];
      for (let t = 0; t < width; t++) right[(i * q + j) * width + t] = root * v[t * s.length];
    }
  }
  return composed(form, shape, {
    left: leaf(left, [q, height, k]),
    right: leaf(right, [k, q, width]),
  });
}
