/** @file Evaluation of operators that make tensors from sizes, and of running sums. */
import { type DType, dtypeOfCode } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import {
  asTensor,
  axisOf,
  bigints,
  type EvaluateRule,
  type EvaluateRules,
  eachCoordinate,
  elements,
  isBig,
  list,
  pick,
  product,
  stridesOf,
} from "./elements.ts";
import { groupsAlong } from "./reduce.ts";
import { spend } from "./work.ts";

/** A tensor of the given shape, filled with the attribute `value` (default 0 of float32). */
const constantOfShape: EvaluateRule = ([shape], node) => {
  const value = node.attributes.value;
  const fill = value?.type === "tensor" ? value.value : tensor("float32", [1], [0]);
  const dims = list(shape);
  return pick(fill, dims, new Int32Array(product(dims)));
};

/** start, start + delta, ..., before limit. */
const range: EvaluateRule = ([start, limit, delta]) => {
  const count = (first: number, last: number, step: number): number =>
    Math.max(0, Math.ceil((last - first) / step));
  const [first, last, step] = [start, limit, delta].map((x) => x.numbers()[0]);
  const length = product([count(first, last, step)]);
  const values = Float64Array.from({ length }, (_, i) => first + i * step);
  return tensor(start.dtype, [length], isBig(start.dtype) ? Array.from(values) : values);
};

/** Ones on diagonal k of a matrix, zeros elsewhere. */
const eyeLike: EvaluateRule = ([x], node) => {
  const k = node.int("k", 0);
  const values = new Float64Array(x.size);
  eachCoordinate(x.shape, ([row, column], flat) => {
    values[flat] = column - row === k ? 1 : 0;
  });
  return tensor(dtypeOfCode(node.int("dtype", 0)) ?? x.dtype, x.shape, Array.from(values));
};

/**
 * The running sum along an axis. `exclusive` leaves out the element itself, `reverse`
 * runs from the end.
 */
const cumSum: EvaluateRule = ([x, given], node) => {
  const axis = axisOf(Number(given.numbers()[0]), x.shape.length);
  const isReverse = node.int("reverse", 0) === 1;
  const { groups } = groupsAlong(x.shape, [axis], true);
  const runs = isReverse ? groups.map((group) => group.toReversed()) : groups;
  const isExclusive = node.int("exclusive", 0) === 1;
  if (!isBig(x.dtype)) {
    const sums = new Float64Array(x.size);
    accumulate(x.numbers(), sums, runs, isExclusive, 0, (a, b) => a + b);
    return tensor(x.dtype, x.shape, sums);
  }
  const sums = new BigInt64Array(x.size);
  accumulate(bigints(x), sums, runs, isExclusive, 0n, (a, b) => a + b);
  return asTensor(x.dtype, x.shape, sums);
};

/** Running sums over each run of positions. */
function accumulate<T>(
  from: ArrayLike<T>,
  to: { [index: number]: T },
  runs: readonly Int32Array[],
  isExclusive: boolean,
  zero: T,
  add: (a: T, b: T) => T,
): void {
  for (const run of runs) {
    let sum = zero;
    for (const i of run) {
      const after = add(sum, from[i]);
      to[i] = isExclusive ? sum : after;
      sum = after;
    }
  }
}

/** The coordinates of the elements that are not zero, [rank, count]. */
const nonZero: EvaluateRule = ([x]) => {
  const rows: number[][] = x.shape.map(() => []);
  const values = elements(x);
  eachCoordinate(x.shape, (at, flat) => {
    if (!Number(values[flat])) return;
    for (const [axis, c] of at.entries()) rows[axis].push(c);
  });
  return tensor("int64", [x.shape.length, rows[0]?.length ?? 0], rows.flat());
};

/** w_n = a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), N the size, or size - 1 if not periodic. */
function cosineWindow(a0: number, a1: number, a2: number): EvaluateRule {
  return ([size], node) => {
    const length = product([Number(size.numbers()[0])]);
    const period = node.int("periodic", 1) === 1 ? length : length - 1;
    const values = Float64Array.from({ length }, (_, n) => {
      const angle = (2 * Math.PI * n) / period;
      return a0 - a1 * Math.cos(angle) + a2 * Math.cos(2 * angle);
    });
    return tensor(windowType(node), [length], values);
  };
}

const windowType = (node: Node): DType => dtypeOfCode(node.int("output_datatype", 1)) ?? "float32";

/**
 * The distinct elements, or slices along an axis, in sorted order or in that of occurrence. Also:
 * the first index of each, the index of each element among them, and their counts.
 */
const unique: EvaluateRule = ([x], node) => {
  const given = node.int("axis");
  const axis = given === undefined ? null : axisOf(given, x.shape.length);
  const count = axis === null ? x.size : x.shape[axis];
  spend(count * x.size);
  const values = elements(x);
  const slices: number[][] = Array.from({ length: count }, () => []);
  eachCoordinate(x.shape, (at, flat) => slices[axis === null ? flat : at[axis]].push(flat));
  const compare = (a: number, b: number): number => {
    for (const [k, i] of slices[a].entries()) {
      const [u, v] = [values[i], values[slices[b][k]]];
      if (u !== v) return u < v ? -1 : 1;
    }
    return 0;
  };
  const firsts: number[] = [];
  const groupOf = Array.from(slices, (_, i) => {
    const group = firsts.findIndex((first) => compare(first, i) === 0);
    return group < 0 ? firsts.push(i) - 1 : group;
  });
  const order = [...firsts.keys()];
  if (node.int("sorted", 1) === 1) order.sort((a, b) => compare(firsts[a], firsts[b]));
  const rank = order.map((_, i) => order.indexOf(i));
  const picked = order.map((group) => firsts[group]);
  const counts = new Array<number>(order.length).fill(0);
  for (const group of groupOf) counts[rank[group]]++;
  const int64 = (list: readonly number[]): Tensor => tensor("int64", [list.length], list);
  return [
    axis === null ? pick(x, [picked.length], picked) : alongAxis(x, axis, picked),
    int64(picked),
    int64(groupOf.map((group) => rank[group])),
    int64(counts),
  ];
};

/** The tensor with only the given indices of an axis. */
function alongAxis(x: Tensor, axis: number, picked: readonly number[]): Tensor {
  const strides = stridesOf(x.shape);
  const shape = x.shape.with(axis, picked.length);
  const index = new Int32Array(product(shape));
  eachCoordinate(shape, (at, flat) => {
    index[flat] = at.reduce((sum, c, i) => sum + (i === axis ? picked[c] : c) * strides[i], 0);
  });
  return pick(x, shape, index);
}

export const generators = {
  BlackmanWindow: cosineWindow(0.42, 0.5, 0.08),
  ConstantOfShape: constantOfShape,
  CumSum: cumSum,
  EyeLike: eyeLike,
  HammingWindow: cosineWindow(25 / 46, 21 / 46, 0),
  HannWindow: cosineWindow(0.5, 0.5, 0),
  NonZero: nonZero,
  Range: range,
  Unique: unique,
} satisfies EvaluateRules;
