/** @file Shared by evaluation rules: exact elements, strided views, broadcasting. */
import { errors, fail } from "../../errors.ts";
import { type DType, dtypes } from "../../ir/dtype.ts";
import type { Graph, Node, Value } from "../../ir/graph.ts";
import { Tensor, tensor } from "../../ir/tensor.ts";
import { product as plainProduct } from "../../util/product.ts";
import type { OpName } from "../schema.ts";
import { spendElements } from "./work.ts";

export type Shape = readonly number[];

/** What a rule may use besides its inputs; only If, Loop and Scan do. */
export interface EvaluateContext {
  /**
   * Runs a body on values for its inputs. Outer values that it captures are known to the driver.
   */
  run(body: Graph, inputs: readonly Tensor[]): Tensor[];
  /** A captured value; null if it is not known. */
  lookup(value: Value): Tensor | null;
}

/**
 * The outputs of a node. Required inputs are there, since the driver has checked; `optional` reads
 * the others. Null if this use of the operator has no rule.
 */
export type EvaluateRule = (
  inputs: readonly Tensor[],
  node: Node,
  context: EvaluateContext,
) => Tensor | readonly Tensor[] | null;

export type EvaluateRules = { readonly [K in OpName]?: EvaluateRule };

/** An optional input; null if it is left out. */
export function optional(inputs: readonly Tensor[], index: number): Tensor | null {
  return inputs[index] ?? null;
}

export const isFloat = (dtype: DType): boolean => dtypes[dtype].kind === "float";
export const isBig = (dtype: DType): boolean => dtype === "int64" || dtype === "uint64";

/**
 * The number of elements of a shape about to be allocated or walked through. Sizes that no computer
 * holds come from files that lie: each must be within what may be spent (work.ts), even where
 * another is 0.
 */
export function product(shape: Shape): number {
  const count = plainProduct(shape);
  spendElements(count === 0 ? Math.max(...shape) : count);
  return count;
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  for (let axis = shape.length - 1, step = 1; axis >= 0; step *= shape[axis--]) {
    strides[axis] = step;
  }
  return strides;
}

/**
 * An axis from -rank to rank - 1 as one from 0 to rank - 1. The default axis 1 of a scalar's
 * quantization is let through. Throws RangeError where an axis is further away: arrays with one
 * entry per axis would grow to it.
 */
export function axisOf(axis: number, rank: number): number {
  if (!(Math.abs(axis) <= rank + 1)) throw new RangeError(`axis ${axis} of ${rank} axes`);
  return axis < 0 ? axis + rank : axis;
}

/**
 * The flat positions offset + sum(coordinate * stride) of all coordinates of `shape`,
 * in row-major order.
 */
export function positions(shape: Shape, strides: readonly number[], offset = 0): Int32Array {
  const result = new Int32Array(product(shape));
  const at = new Array<number>(shape.length).fill(0);
  let position = offset;
  for (let i = 0; i < result.length; i++) {
    result[i] = position;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis];
      if (++at[axis] < shape[axis]) break;
      position -= strides[axis] * shape[axis];
      at[axis] = 0;
    }
  }
  return result;
}

/** Calls `visit` with the coordinates of every element in row-major order. The array is reused. */
export function eachCoordinate(
  shape: Shape,
  visit: (at: readonly number[], flat: number) => void,
): void {
  const at = new Array<number>(shape.length).fill(0);
  const size = product(shape);
  for (let flat = 0; flat < size; flat++) {
    visit(at, flat);
    for (let axis = shape.length - 1; axis >= 0 && ++at[axis] === shape[axis]; axis--) at[axis] = 0;
  }
}

/** The common shape by NumPy's broadcasting. Throws TersorError "bad-operands", naming `where`. */
export function broadcastShape(where: string, ...shapes: readonly Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let dim = 1;
    for (const shape of shapes) {
      const size = shape[axis - rank + shape.length] ?? 1;
      if (size === 1) continue;
      if (dim !== 1 && dim !== size) {
        const text = shapes.map((s) => `[${s}]`).join(" and ");
        throw fail(errors.badOperands(where, `shapes ${text} do not broadcast`));
      }
      dim = size;
    }
    return dim;
  });
}

/** For each element of `to`, the position of the element of `from` that is broadcast there. */
export function broadcastPositions(from: Shape, to: Shape): Int32Array {
  const strides = stridesOf(from);
  const lead = to.length - from.length;
  return positions(
    to,
    to.map((_, axis) => (axis < lead || from[axis - lead] === 1 ? 0 : strides[axis - lead])),
  );
}

/**
 * Elements that moving does not change: 16-bit words of half-precision floats, bigints, strings,
 * and unpacked integers of less than a byte.
 */
export type Elements = ArrayLike<number | bigint | string>;

export function elements(x: Tensor): Elements {
  if (x.strings) return x.strings;
  return dtypes[x.dtype].bits < 8 ? x.numbers() : x.data();
}

/** The tensor of such elements. */
export function fromElements(dtype: DType, shape: Shape, values: Elements): Tensor {
  if (dtype === "string") {
    return new Tensor(dtype, shape, () => new Uint8Array(0), values as readonly string[]);
  }
  return tensor(dtype, shape, values as readonly number[]);
}

/** An empty array for elements of this type. */
export function store(dtype: DType, size: number): (number | bigint | string)[] {
  if (dtype === "string") return new Array<string>(size).fill("");
  const { bits } = dtypes[dtype];
  const words = dtype === "float16" || dtype === "bfloat16";
  const array = isBig(dtype)
    ? new BigInt64Array(size)
    : words
      ? new Uint16Array(size)
      : bits < 8
        ? new Int8Array(size)
        : new Float64Array(size);
  return array as unknown as number[];
}

/**
 * The tensor whose element i is element index[i] of x, or the only element of `filler` (default 0)
 * for a negative index.
 */
export function pick(
  x: Tensor,
  shape: Shape,
  index: ArrayLike<number>,
  filler: Tensor | null = null,
): Tensor {
  const from = elements(x);
  const fill = filler ? elements(filler)[0] : isBig(x.dtype) ? 0n : x.strings ? "" : 0;
  const to = store(x.dtype, index.length);
  for (let i = 0; i < index.length; i++) to[i] = index[i] < 0 ? fill : from[index[i]];
  return asTensor(x.dtype, shape, to);
}

/** The tensor of an array that `store` made. */
export function asTensor(dtype: DType, shape: Shape, values: Elements): Tensor {
  if (dtype !== "uint64") return fromElements(dtype, shape, values);
  return fromElements(
    dtype,
    shape,
    new BigUint64Array((values as unknown as BigInt64Array).buffer),
  );
}

/** Integers as bigints, for arithmetic that must be exact. */
export function bigints(x: Tensor): ArrayLike<bigint> {
  return isBig(x.dtype) ? (x.data() as BigInt64Array) : Array.from(x.numbers(), BigInt);
}

/** The elements of a shape, axes or pads as numbers. */
export function list(x: Tensor): number[] {
  return Array.from(x.numbers());
}

/** The elements as a new Float64Array. */
export function doubles(x: Tensor): Float64Array {
  return Float64Array.from(x.numbers());
}
