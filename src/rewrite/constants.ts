/** @file Reads constants (scalars and lists of integers) and facts that many rules need. */
import { Graph, type Node, type Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";

/** The number in a constant of one element; undefined for other values. */
export function scalarOf(value: Value | null | undefined): number | undefined {
  const tensor = value?.tensor;
  return tensor && tensor.size === 1 && !tensor.strings ? tensor.numbers()[0] : undefined;
}

/** A scalar constant that does not change the shape of `other` when broadcast with it. */
export function broadcastScalarOf(value: Value, other: Value | null): number | undefined {
  const rank = value.tensor?.shape.length ?? 0;
  return rank === 0 || rank <= (other?.shape?.length ?? 0) ? scalarOf(value) : undefined;
}

/** The integers in a constant (axes, pads, shapes); undefined for values that are not constant. */
export function intsOf(value: Value | null | undefined): readonly number[] | undefined {
  return value?.tensor && !value.tensor.strings ? Array.from(value.tensor.numbers()) : undefined;
}

/** A tensor that products may be folded into. */
export type FloatTensor = Tensor & { readonly dtype: "float32" | "float64" };

/**
 * Whether products may be folded into the tensor: only float32 and float64, as 16-bit floats
 * would be rounded twice.
 */
export function isFoldable(tensor: Tensor | null | undefined): tensor is FloatTensor {
  return tensor?.dtype === "float32" || tensor?.dtype === "float64";
}

/** Why `value` cannot be changed without affecting others than `reader`; null where it can. */
export function otherReaders(value: Value, reader: Node): string | null {
  for (const { user } of value.uses) {
    if (user instanceof Graph) return `${value.name} is a graph output`;
    if (user !== reader) return `${value.name} is also read by ${user.name}`;
  }
  return null;
}

/** The rank of a value; undefined where it is not known. */
export function rankOf(value: Value | null | undefined): number | undefined {
  return value?.shape?.length;
}

/** Whether two shapes are known to be equal, in numbers and symbols. */
export function sameShape(a: Value["shape"], b: Value["shape"]): boolean {
  return (
    a !== null &&
    b !== null &&
    a.length === b.length &&
    a.every((dim, i) => dim !== null && dim === b[i])
  );
}
