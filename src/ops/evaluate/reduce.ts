/** @file Evaluation of reductions along axes, positions of extremes, and sorting. */
import { type Tensor, tensor } from "../../ir/tensor.ts";
import {
  asTensor,
  axisOf,
  bigints,
  type EvaluateRule,
  type EvaluateRules,
  isBig,
  list,
  optional,
  pick,
  positions,
  product,
  type Shape,
  stridesOf,
} from "./elements.ts";
import { greater, lesser } from "./elementwise.ts";

interface Reduction {
  /** For each result, the flat positions of the elements that it is made of. */
  readonly groups: Int32Array[];
  readonly shape: Shape;
}

/**
 * The groups of a reduction of `shape` over `axes`, and the shape of the result; with `keeps` the
 * reduced axes stay with size 1.
 */
export function groupsAlong(shape: Shape, axes: readonly number[], keeps: boolean): Reduction {
  const strides = stridesOf(shape);
  const kept = shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  const inside = shape.map((dim, axis) => (axes.includes(axis) ? dim : 1));
  const starts = positions(kept, strides);
  const offsets = positions(inside, strides);
  return {
    groups: Array.from(starts, (start) => offsets.map((offset) => start + offset)),
    shape: keeps ? kept : shape.filter((_, axis) => !axes.includes(axis)),
  };
}

function axesOf(inputs: readonly Tensor[], rank: number): number[] {
  const given = optional(inputs, 1);
  return given ? list(given).map((axis) => axisOf(axis, rank)) : [];
}

type Fold = (values: Float64Array) => number;

/** A reduction by `fold`; `big` folds 64-bit integers exactly. */
function reduce(fold: Fold, big?: (values: readonly bigint[]) => bigint): EvaluateRule {
  return (inputs, node) => {
    const [x] = inputs;
    const axes = axesOf(inputs, x.shape.length);
    const isNoop = axes.length === 0 && node.int("noop_with_empty_axes", 0) === 1;
    const all = axes.length === 0 && !isNoop ? [...x.shape.keys()] : axes;
    const { groups, shape } = groupsAlong(x.shape, all, node.int("keepdims", 1) === 1 || isNoop);
    if (isNoop) return x;
    if (isBig(x.dtype) && big) {
      const values = bigints(x);
      return asTensor(
        x.dtype,
        shape,
        BigInt64Array.from(groups, (group) => big(Array.from(group, (i) => values[i]))),
      );
    }
    const values = x.numbers();
    const results = groups.map((group) => fold(Float64Array.from(group, (i) => values[i])));
    return tensor(x.dtype, shape, results);
  };
}

const sum: Fold = (v) => v.reduce((a, b) => a + b, 0);
const largest: Fold = (v) => v.reduce((a, b) => Math.max(a, b), -Infinity);
const smallest: Fold = (v) => v.reduce((a, b) => Math.min(a, b), Infinity);

const logSumExp: Fold = (v) => {
  const top = largest(v);
  const shift = Number.isFinite(top) ? top : 0;
  return shift + Math.log(sum(v.map((x) => Math.exp(x - shift))));
};

/**
 * The index of the best element along an axis; among equals the first, or with
 * select_last_index the last.
 */
function argument(isBetter: (a: number, b: number) => boolean): EvaluateRule {
  return ([x], node) => {
    const axis = axisOf(node.int("axis", 0), x.shape.length);
    const { groups, shape } = groupsAlong(x.shape, [axis], node.int("keepdims", 1) === 1);
    const last = node.int("select_last_index", 0) === 1;
    const values = x.numbers();
    const found = groups.map((group) => {
      let best = 0;
      for (let i = 1; i < group.length; i++) {
        const [a, b] = [values[group[i]], values[group[best]]];
        if (isBetter(a, b) || (last && a === b)) best = i;
      }
      return best;
    });
    return tensor("int64", shape, found);
  };
}

/** The k largest (or smallest) elements along an axis, sorted, and their indices. */
const topK: EvaluateRule = ([x, k], node) => {
  const axis = axisOf(node.int("axis", -1), x.shape.length);
  const count = Number(k.numbers()[0]);
  const sign = node.int("largest", 1) === 1 ? -1 : 1;
  const values = x.numbers();
  const { groups, shape: rest } = groupsAlong(x.shape, [axis], true);
  const shape = rest.with(axis, count);
  const strides = stridesOf(shape);
  const starts = positions(rest, strides);
  const picked = new Int32Array(product(shape));
  const index = new Float64Array(picked.length);
  for (const [g, group] of groups.entries()) {
    const order = [...group.keys()].sort(
      (a, b) => sign * (values[group[a]] - values[group[b]]) || a - b,
    );
    for (const [i, at] of order.slice(0, count).entries()) {
      picked[starts[g] + i * strides[axis]] = group[at];
      index[starts[g] + i * strides[axis]] = at;
    }
  }
  return [pick(x, shape, picked), tensor("int64", shape, Array.from(index))];
};

/** 1 at the first largest element along the axis, 0 elsewhere. */
const hardmax: EvaluateRule = ([x], node) => {
  const axis = axisOf(node.int("axis", -1), x.shape.length);
  const values = x.numbers();
  const results = new Float64Array(x.size);
  for (const group of groupsAlong(x.shape, [axis], true).groups) {
    let best = group[0];
    for (const i of group) if (values[i] > values[best]) best = i;
    results[best] = 1;
  }
  return tensor(x.dtype, x.shape, results);
};

export const reductions = {
  ArgMax: argument((a, b) => a > b),
  ArgMin: argument((a, b) => a < b),
  Hardmax: hardmax,
  ReduceL1: reduce((v) => sum(v.map(Math.abs))),
  ReduceL2: reduce((v) => Math.sqrt(sum(v.map((x) => x * x)))),
  ReduceLogSum: reduce((v) => Math.log(sum(v))),
  ReduceLogSumExp: reduce(logSumExp),
  ReduceMax: reduce(largest, (v) => v.reduce(greater)),
  ReduceMean: reduce((v) => sum(v) / v.length),
  ReduceMin: reduce(smallest, (v) => v.reduce(lesser)),
  ReduceProd: reduce(
    (v) => v.reduce((a, b) => a * b, 1),
    (v) => v.reduce((a, b) => a * b, 1n),
  ),
  ReduceSum: reduce(sum, (v) => v.reduce((a, b) => a + b, 0n)),
  ReduceSumSquare: reduce(
    (v) => sum(v.map((x) => x * x)),
    (v) => v.reduce((a, b) => a + b * b, 0n),
  ),
  TopK: topK,
} satisfies EvaluateRules;
