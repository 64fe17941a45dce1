/** @file Reads constants: scalars, integer lists, and what reads a value. */
import { Graph, type Node, type Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";

/** The one number a constant holds; undefined where it holds more or is not constant. */
export function scalarOf(value: Value | null | undefined): number | undefined {
  const tensor = value?.tensor;
  return tensor && tensor.size === 1 && !tensor.strings ? tensor.numbers()[0] : undefined;
}

/** A scalar that leaves the shape of `other` alone when they are broadcast together. */
export function broadcastScalarOf(value: Value, other: Value | null): number | undefined {
  const rank = value.tensor?.shape.length ?? 0;
  return rank === 0 || rank <= (other?.shape?.length ?? 0) ? scalarOf(value) : undefined;
}

/** The integers of a constant (axes, pads, shapes); undefined where it is not one. */
export function intsOf(value: Value | null | undefined): readonly number[] | undefined {
  return value?.tensor && !value.tensor.strings ? Array.from(value.tensor.numbers()) : undefined;
}

/** A tensor that products may be folded into. */
export type FloatTensor = Tensor & { readonly dtype: "float32" | "float64" };

/** float32 and float64 only: halves would round twice. */
export function isFoldable(tensor: Tensor | null | undefined): tensor is FloatTensor {
  return tensor?.dtype === "float32" || tensor?.dtype === "float64";
}

/** Why `value` cannot be changed for the sake of `reader` alone; null when it can. */
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

/** Whether two shapes are known to be equal: same numbers, same symbols. */
export function sameShape(a: Value["shape"], b: Value["shape"]): boolean {
  return (
    a !== null &&
    b !== null &&
    a.length === b.length &&
    a.every((dim, i) => dim !== null && dim === b[i])
  );
}
