/** @file Evaluation of operators that pick or place elements by index. */
import { errors, fail } from "../../errors.ts";
import type { Node } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import {
  asTensor,
  axisOf,
  type EvaluateRule,
  type EvaluateRules,
  eachCoordinate,
  elements,
  list,
  optional,
  pick,
  positions,
  product,
  type Shape,
  store,
  stridesOf,
} from "./elements.ts";

/**
 * Indices from -dim to dim - 1 as indices from 0 to dim - 1. Throws TersorError
 * "bad-operands" outside.
 */
function indices(x: Tensor, dim: number, node: Node): number[] {
  return Array.from(x.numbers(), (index) => {
    if (index < -dim || index >= dim) {
      throw fail(errors.badOperands(node.name, `index ${index} is outside an axis of ${dim}`));
    }
    return index < 0 ? index + dim : index;
  });
}

/** y = x with `axis` replaced by the axes of the index tensor. */
const gather: EvaluateRule = ([x, index], node) => {
  const axis = axisOf(node.int("axis", 0), x.shape.length);
  const at = indices(index, x.shape[axis], node);
  const [outer, inner] = [product(x.shape.slice(0, axis)), product(x.shape.slice(axis + 1))];
  const picked = new Int32Array(outer * at.length * inner);
  let k = 0;
  for (let o = 0; o < outer; o++) {
    for (const i of at) {
      for (let rest = 0; rest < inner; rest++) picked[k++] = (o * x.shape[axis] + i) * inner + rest;
    }
  }
  return pick(x, x.shape.toSpliced(axis, 1, ...index.shape), picked);
};

/**
 * For each element of `index` its own position in x, with the coordinate of `axis`
 * replaced by the index.
 */
function alongAxis(x: Tensor, index: Tensor, axis: number, node: Node): Int32Array {
  const strides = stridesOf(x.shape);
  const at = indices(index, x.shape[axis], node);
  return positions(index.shape, strides.with(axis, 0)).map(
    (position, i) => position + at[i] * strides[axis],
  );
}

const gatherElements: EvaluateRule = ([x, index], node) => {
  const axis = axisOf(node.int("axis", 0), x.shape.length);
  return pick(x, index.shape, alongAxis(x, index, axis, node));
};

/** The flat positions where the slices begin that the last axis of `index` names. */
function sliceStarts(shape: Shape, index: Tensor, batchDims: number, node: Node): number[] {
  const depth = index.shape.at(-1) as number;
  const strides = stridesOf(shape);
  const values = list(index);
  const starts: number[] = [];
  eachCoordinate(index.shape.slice(0, -1), (at, flat) => {
    let start = 0;
    for (let axis = 0; axis < batchDims; axis++) start += at[axis] * strides[axis];
    for (let k = 0; k < depth; k++) {
      const [value, dim] = [values[flat * depth + k], shape[batchDims + k]];
      if (value < -dim || value >= dim) {
        throw fail(errors.badOperands(node.name, `index ${value} is outside an axis of ${dim}`));
      }
      start += axisOf(value, dim) * strides[batchDims + k];
    }
    starts.push(start);
  });
  return starts;
}

const gatherND: EvaluateRule = ([x, index], node) => {
  const batchDims = node.int("batch_dims", 0);
  const tail = x.shape.slice(batchDims + (index.shape.at(-1) as number));
  const size = product(tail);
  const starts = sliceStarts(x.shape, index, batchDims, node);
  const picked = starts.flatMap((start) => Array.from({ length: size }, (_, i) => start + i));
  return pick(x, [...index.shape.slice(0, -1), ...tail], picked);
};

type Combine = (old: number, update: number) => number;
const combine: Readonly<Record<string, Combine>> = {
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  min: Math.min,
  max: Math.max,
};

/** A copy of x with updates[i] written to position to[i], or combined with what is there. */
function scatter(x: Tensor, to: ArrayLike<number>, updates: Tensor, node: Node): Tensor | null {
  const reduction = node.text("reduction", "none");
  const [from, changes] = [elements(x), elements(updates)];
  const isWords = x.dtype === "float16" || x.dtype === "bfloat16";
  if (reduction !== "none" && (x.strings || isWords)) return null;
  const result = store(x.dtype, x.size);
  for (let i = 0; i < result.length; i++) result[i] = from[i];
  for (let i = 0; i < to.length; i++) {
    const [old, update] = [result[to[i]], changes[i]];
    if (reduction === "none") result[to[i]] = update;
    else if (typeof old === "bigint") {
      const value = combine[reduction](Number(old), Number(update));
      result[to[i]] = reduction === "add" ? old + (update as bigint) : BigInt(value);
    } else result[to[i]] = combine[reduction](old as number, update as number);
  }
  return asTensor(x.dtype, x.shape, result);
}

const scatterElements: EvaluateRule = ([x, index, updates], node) => {
  const axis = axisOf(node.int("axis", 0), x.shape.length);
  return scatter(x, alongAxis(x, index, axis, node), updates, node);
};

const scatterND: EvaluateRule = ([x, index, updates], node) => {
  const size = product(x.shape.slice(index.shape.at(-1)));
  const starts = sliceStarts(x.shape, index, 0, node);
  const to = starts.flatMap((start) => Array.from({ length: size }, (_, i) => start + i));
  return scatter(x, to, updates, node);
};

/** TensorScatter (opset 24): writes rows into a cache, from each sequence's own position on. */
const tensorScatter: EvaluateRule = (inputs, node) => {
  const [cache, update] = inputs;
  const axis = axisOf(node.int("axis", -2), cache.shape.length);
  const starts = optional(inputs, 2);
  const first = starts ? list(starts) : null;
  const isCircular = node.text("mode", "linear") === "circular";
  const strides = stridesOf(cache.shape);
  const to = new Int32Array(update.size);
  eachCoordinate(update.shape, (at, flat) => {
    const shifted = at[axis] + (first?.[at[0]] ?? 0);
    const row = isCircular ? shifted % cache.shape[axis] : shifted;
    to[flat] = at.reduce((sum, c, i) => sum + (i === axis ? row : c) * strides[i], 0);
  });
  return scatter(cache, to, update, node);
};

/** The indices of an axis (or of the flat tensor) where the condition is true. */
const compress: EvaluateRule = ([x, condition], node) => {
  const axis = node.int("axis");
  const keep = list(condition).flatMap((c, i) => (c ? [i] : []));
  if (axis === undefined) return pick(x, [keep.length], keep);
  const along = axisOf(axis, x.shape.length);
  const strides = stridesOf(x.shape);
  const shape = x.shape.with(along, keep.length);
  const index = new Int32Array(product(shape));
  eachCoordinate(shape, (at, flat) => {
    index[flat] = at.reduce((sum, c, i) => sum + (i === along ? keep[c] : c) * strides[i], 0);
  });
  return pick(x, shape, index);
};

/** `depth` entries along a new axis: values[1] at the index, values[0] elsewhere. */
const oneHot: EvaluateRule = ([index, depth, values], node) => {
  const size = Number(depth.numbers()[0]);
  const axis = axisOf(node.int("axis", -1), index.shape.length + 1);
  const shape = index.shape.toSpliced(axis, 0, size);
  const at = index.numbers();
  const strides = stridesOf(index.shape).toSpliced(axis, 0, 0);
  const where = positions(shape, strides);
  const chosen = new Int32Array(where.length);
  eachCoordinate(shape, (coordinates, flat) => {
    const wanted = at[where[flat]];
    chosen[flat] = (wanted < 0 ? wanted + size : wanted) === coordinates[axis] ? 1 : 0;
  });
  return pick(values, shape, chosen);
};

export const indexing = {
  Compress: compress,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  OneHot: oneHot,
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  TensorScatter: tensorScatter,
} satisfies EvaluateRules;
