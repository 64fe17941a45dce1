/** @file Tensors for inputs that no record fills: constants, masks, positions, random numbers. */
import type { DType } from "../ir/dtype.ts";
import type { Model } from "../ir/model.ts";
import { Tensor, tensor } from "../ir/tensor.ts";
import type { Random } from "../numeric/random.ts";
import { bindDims } from "../ops/infer.ts";
import { integersOf } from "../ops/integers.ts";
import type { Range } from "../ops/range.ts";
import type { Port } from "../runtime/runtime.ts";
import { product } from "../util/product.ts";
import type { Feed } from "./feed.ts";
import type { Shapes } from "./guess-shapes.ts";

/** The integers that the inputs may hold, as far as the graph tells, for inputs of these shapes. */
export function rangesOf(model: Model, ports: readonly Port[], shapes: Shapes): Map<string, Range> {
  if (!ports.some(({ dtype }) => isIndex(dtype))) return new Map();
  const { inputs } = bindDims(model, shapes).graph;
  return new Map(
    inputs.flatMap((input) => {
      const range = isIndex(input.dtype) ? integersOf(input) : null;
      return range ? [[input.name, range] as const] : [];
    }),
  );
}

/** Whether elements may be indices, lengths or masks. Integers of 8 and 16 bits are pixels, codes. */
export const isIndex = (dtype: DType | null): boolean => dtype === "int64" || dtype === "int32";

/** What an input without data is for, by its name, where that decides what it holds. */
export type Role = "mask" | "state" | null;

/** Masks hide nothing, and caches and states are as they are before the first step. */
export function roleOf({ name, dtype }: Pick<Port, "name" | "dtype">, isFirst: boolean): Role {
  if (/mask/i.test(name)) return "mask";
  const isState = /past|cache|state|hidden|^[hc]_?0$/i.test(name);
  return isState && !isFirst && dtype?.includes("float") ? "state" : null;
}

export interface Draw {
  /** The integers to draw from; null where nothing is known. */
  readonly range: Range | null;
  readonly role: Role;
  readonly ceiling: number;
  readonly random: Random;
}

/**
 * A tensor for an input that nothing is given for: 1 in a mask, 0 in a state, else random elements:
 * floats in [0, 1); indices in their range, 8-bit integers from all that there are, other integers
 * below the ceiling; strings empty. Where there are only 0 and 1, as in truth values, each row begins
 * with 1, because the softmax of a row of which everything is masked is not finite.
 */
export function randomTensor(dtype: DType, shape: readonly number[], draw: Draw): Tensor {
  const { range, role, ceiling, random } = draw;
  const size = product(shape);
  if (dtype === "string") {
    return new Tensor("string", shape, () => new Uint8Array(0), new Array(size).fill(""));
  }
  if (role !== null) return constant(dtype, shape, role === "mask" ? 1 : 0);
  if (dtype.includes("float"))
    return tensor(dtype, shape, Array.from({ length: size }, random.float));
  const { low, high } =
    dtype === "bool"
      ? { low: 0, high: 1 }
      : (range ??
        (/^u?int8$/.test(dtype)
          ? bytes[dtype as keyof typeof bytes]
          : { low: 0, high: ceiling - 1 }));
  const row = shape.at(-1) ?? 1;
  const isFlag = low === 0 && high === 1;
  const values = Array.from({ length: size }, (_, i) =>
    isFlag && i % row === 0 ? 1 : low + random.int(Math.min(high - low + 1, 2 ** 32)),
  );
  return tensor(dtype, shape, values);
}

const bytes = { uint8: { low: 0, high: 255 }, int8: { low: -128, high: 127 } };

/** A tensor with one number in every element. */
function constant(dtype: DType, shape: readonly number[], value: number): Tensor {
  return tensor(dtype, shape, new Array<number>(product(shape)).fill(value));
}

/** A tensor for an input that is fed in this way; `draw` is for what is drawn. */
export function filled(dtype: DType, shape: readonly number[], feed: Feed, draw: Draw): Tensor {
  if (typeof feed === "number") return constant(dtype, shape, feed);
  if (feed === "zeros" || (typeof feed === "object" && "feedback" in feed)) {
    return constant(dtype, shape, 0);
  }
  if (feed === "ones" || feed === "mask") return constant(dtype, shape, 1);
  if (feed === "range") {
    const row = shape.at(-1) ?? 1;
    return tensor(
      dtype,
      shape,
      Array.from({ length: product(shape) }, (_, i) => i % row),
    );
  }
  return randomTensor(dtype, shape, { ...draw, role: feed === "ids" ? null : draw.role });
}
