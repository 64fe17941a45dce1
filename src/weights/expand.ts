/** @file Weight -> nodes: the expression that rebuilds a weight when the engine loads the model. */
import type { Value } from "../ir/graph.ts";
import { type Builder, build } from "../ops/builder.ts";
import { type Element, floatElement, integerElement } from "./element.ts";
import type { Part } from "./form.ts";
import { smallest } from "./layout.ts";
import type { Leaf, Weight } from "./weight.ts";

/**
 * Adds the nodes that compute the weight and returns their result, a value of the weight's shape.
 * The engine folds them into one tensor when it loads the model. `part` says which type the reader
 * expects, float32 if it is left out.
 */
export function expand(builder: Builder, weight: Weight, part?: Part, name?: string): Value {
  // Names take bytes in the file. Values inside an expression get short ones, the
  // result the weight's.
  const g = build(builder.graph);
  if (weight.form === null) return expandLeaf(g, weight, part?.dtype ?? "float32", name);
  const { form, shape, theta } = weight;
  const values: Record<string, Value> = {};
  for (const [key, own] of Object.entries(form.theta)) {
    const value = expand(g, theta[key], own, key);
    // `build` may look at shapes, and types inside expressions may not be inferred yet.
    value.dtype ??= own.dtype;
    value.shape ??= theta[key].shape;
    values[key] = value;
  }
  return form.build(g, values, shape);
}

function expandLeaf(g: Builder, leaf: Leaf, dtype: Part["dtype"], name?: string): Value {
  const { values, shape, coding } = leaf;
  if (coding === "int64") return g.constant(values, { dtype, shape, ...(name && { name }) });
  return smallest(values, elementOf(leaf, dtype, name)).build(g, shape);
}

/** How single numbers of the leaf are written for a reader of type `dtype`. */
function elementOf({ coding }: Leaf, dtype: Part["dtype"], name?: string): Element {
  if (coding === "int64") throw new Error("whole numbers of 64 bits are written as they are");
  if (typeof coding === "string") return floatElement(coding, name);
  return integerElement(coding.bits, coding.signed, dtype);
}
