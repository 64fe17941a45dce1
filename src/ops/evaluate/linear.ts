/** @file Evaluation of matrix products: MatMul, Gemm, Einsum, Det. */
import { errors, fail } from "../../errors.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { parseEinsum } from "../einsum.ts";
import {
  broadcastPositions,
  broadcastShape,
  type EvaluateRule,
  type EvaluateRules,
  eachCoordinate,
  optional,
  product,
  type Shape,
} from "./elements.ts";
import { spend } from "./work.ts";

/** Numbers with a shape. Products are summed in float64; whoever stores the result rounds it. */
export interface Array64 {
  readonly shape: Shape;
  readonly values: ArrayLike<number>;
}

export const array64 = (x: Tensor): Array64 => ({ shape: x.shape, values: x.numbers() });

/**
 * NumPy's matmul: batches are broadcast, and a vector gets an axis that the result lacks again.
 * Throws TersorError "bad-operands", naming `where`.
 */
export function matMul(a: Array64, b: Array64, where: string): Array64 {
  const left: Shape = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
  const right: Shape = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
  const [rows, inner] = left.slice(-2);
  const [depth, columns] = right.slice(-2);
  if (inner !== depth) {
    throw fail(errors.badOperands(where, `[${a.shape}] and [${b.shape}] do not multiply`));
  }
  const [leftBatch, rightBatch] = [left.slice(0, -2), right.slice(0, -2)];
  const batch = broadcastShape(where, leftBatch, rightBatch);
  const [i, j] = [broadcastPositions(leftBatch, batch), broadcastPositions(rightBatch, batch)];
  spend(product([...batch, rows, columns]) * inner);
  const values = new Float64Array(product(batch) * rows * columns);
  const row = new Float64Array(columns);
  for (let n = 0; n < i.length; n++) {
    for (let r = 0; r < rows; r++) {
      row.fill(0);
      for (let k = 0; k < inner; k++) {
        const x = a.values[(i[n] * rows + r) * inner + k];
        const from = (j[n] * inner + k) * columns;
        for (let c = 0; c < columns; c++) row[c] += x * b.values[from + c];
      }
      values.set(row, (n * rows + r) * columns);
    }
  }
  const shape = [
    ...batch,
    ...(a.shape.length === 1 ? [] : [rows]),
    ...(b.shape.length === 1 ? [] : [columns]),
  ];
  return { shape, values };
}

export function transpose2(x: Array64): Array64 {
  const [rows, columns] = x.shape;
  const values = new Float64Array(rows * columns);
  for (let i = 0; i < values.length; i++) {
    values[i] = x.values[(i % rows) * columns + Math.floor(i / rows)];
  }
  return { shape: [columns, rows], values };
}

const matMulRule: EvaluateRule = ([a, b], node) => {
  const { shape, values } = matMul(array64(a), array64(b), node.name);
  return tensor(a.dtype, shape, Array.from(values));
};

/** Y = alpha A' B' + beta C. */
const gemm: EvaluateRule = (inputs, node) => {
  const [a, b] = inputs;
  const left = node.int("transA", 0) ? transpose2(array64(a)) : array64(a);
  const right = node.int("transB", 0) ? transpose2(array64(b)) : array64(b);
  const { shape, values } = matMul(left, right, node.name);
  const c = optional(inputs, 2);
  const [alpha, beta] = [node.float("alpha", 1), node.float("beta", 1)];
  const at = c && broadcastPositions(c.shape, shape);
  const added = c?.numbers();
  const result = Array.from(values, (v, i) => alpha * v + (at && added ? beta * added[at[i]] : 0));
  return tensor(a.dtype, shape, result);
};

/**
 * Einsum: the product of all operands, summed over every subscript that the output does not have.
 */
const einsum: EvaluateRule = (inputs, node) => {
  const terms = parseEinsum(
    node.text("equation", ""),
    inputs.map((x) => x.shape.length),
  );
  const sizes = new Map<string, number>();
  for (const [i, axes] of terms.inputs.entries()) {
    for (const [k, axis] of axes.entries()) {
      sizes.set(axis, Math.max(sizes.get(axis) ?? 1, inputs[i].shape[k]));
    }
  }
  const summed = [...sizes.keys()].filter((axis) => !terms.output.includes(axis));
  const all = [...terms.output, ...summed];
  const dims = all.map((axis) => sizes.get(axis) as number);
  const places = terms.inputs.map((axes) => axes.map((axis) => all.indexOf(axis)));
  const numbers = inputs.map((x) => x.numbers());
  const shape = dims.slice(0, terms.output.length);
  const inner = product(dims.slice(terms.output.length));
  const values = new Array<number>(product(shape)).fill(0);
  eachCoordinate(dims, (at, flat) => {
    let term = 1;
    for (const [i, place] of places.entries()) {
      const index = place.reduce((sum, p, k) => {
        const dim = inputs[i].shape[k];
        return sum * dim + (dim === 1 ? 0 : at[p]);
      }, 0);
      term *= numbers[i][index];
    }
    values[Math.floor(flat / inner)] += term;
  });
  return tensor(inputs[0].dtype, shape, values);
};

/** The determinant of m [n, n] by Gaussian elimination with partial pivoting, which changes m. */
function determinant(m: Float64Array, n: number): number {
  let det = 1;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let r = k + 1; r < n; r++) {
      if (Math.abs(m[r * n + k]) > Math.abs(m[pivot * n + k])) pivot = r;
    }
    if (m[pivot * n + k] === 0) return 0;
    if (pivot !== k) {
      det = -det;
      for (let c = 0; c < n; c++) {
        [m[k * n + c], m[pivot * n + c]] = [m[pivot * n + c], m[k * n + c]];
      }
    }
    det *= m[k * n + k];
    for (let r = k + 1; r < n; r++) {
      const factor = m[r * n + k] / m[k * n + k];
      for (let c = k; c < n; c++) m[r * n + c] -= factor * m[k * n + c];
    }
  }
  return det;
}

const det: EvaluateRule = ([x]) => {
  const n = x.shape.at(-1) as number;
  const values = Float64Array.from(x.numbers());
  const shape = x.shape.slice(0, -2);
  const results = Array.from({ length: product(shape) }, (_, i) =>
    determinant(values.slice(i * n * n, (i + 1) * n * n), n),
  );
  return tensor(x.dtype, shape, results);
};

export const linear = {
  Det: det,
  Einsum: einsum,
  Gemm: gemm,
  MatMul: matMulRule,
} satisfies EvaluateRules;
