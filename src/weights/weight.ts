/** @file Weight: plain numbers, or a form with the smaller weights that it is computed from. */
import { Graph, type Value } from "../ir/graph.ts";
import { build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import type { Numbers } from "./element.ts";
import { expand } from "./expand.ts";
import type { Form, Shape } from "./form.ts";

/** How the numbers of a leaf are written: as 32- or 16-bit floats, or as whole numbers. */
export type Coding = "float32" | "float16" | "bfloat16" | "int64" | Whole;

/** Whole numbers of 1 to 16 bits. One signed bit means -1 or +1. */
export interface Whole {
  readonly bits: number;
  readonly signed: boolean;
}

/** A tensor of plain numbers. The file stores them, without zeros where that is smaller. */
export interface Leaf<A extends Numbers = Numbers> {
  readonly form: null;
  readonly shape: Shape;
  readonly values: A;
  readonly coding: Coding;
  /** The value that it was read from. */
  readonly at?: Value;
}

/** W = f(theta). The parts theta are weights again, so forms nest. */
export interface Composed {
  readonly form: Form;
  readonly shape: Shape;
  /** By the names of the form's parts. */
  readonly theta: Readonly<Record<string, Weight>>;
  /**
   * W as the engine computes it when it loads the model, row-major. Evaluated at the first access.
   */
  readonly values: Float32Array;
  readonly at?: Value;
}

export type Weight = Leaf | Composed;

/** A weight of real numbers, as layers multiply by. */
export type FloatWeight = Leaf<Float32Array> | Composed;

/** A leaf of float32 numbers, which have to be rounded already to what `coding` can hold. */
export function leaf(
  values: Float32Array,
  shape: Shape,
  coding: "float32" | "float16" | "bfloat16" = "float32",
): Leaf<Float32Array> {
  return { form: null, shape, values, coding };
}

/** A leaf of whole numbers, in the fewest bits that hold them unless `bits` is given. */
export function wholeLeaf<A extends Numbers>(
  values: A,
  shape: Shape,
  signed: boolean,
  bits = bitsOf(values, signed),
): Leaf<A> {
  return { form: null, shape, values, coding: { bits, signed } };
}

/** A new weight of a form. */
export function composed<P extends string>(
  form: Form<P>,
  shape: Shape,
  theta: Readonly<Record<NoInfer<P>, Weight>>,
): Composed {
  let values: Float32Array | null = null;
  const weight: Composed = {
    form: form as unknown as Form,
    shape,
    theta,
    get values() {
      values ??= evaluate(weight);
      return values;
    },
  };
  return weight;
}

/** W, by the form's own nodes and the reference evaluator, which rounds as the engine does. */
function evaluate(weight: Composed): Float32Array {
  const value = expand(build(new Graph("weight")), weight);
  const folded = constantValue(value);
  if (!folded) throw new Error(`${weight.form.kind} cannot be evaluated`);
  return folded.floats();
}

/** The fewest bits that hold all numbers. Signed numbers -1 and +1, without 0, take one bit. */
export function bitsOf(values: Numbers, signed: boolean): number {
  let [low, high, hasZero] = [0, 0, false];
  for (const x of values) {
    if (x < low) low = x;
    if (x > high) high = x;
    if (x === 0) hasZero = true;
  }
  if (!signed) return Math.max(1, 32 - Math.clz32(high));
  if (!hasZero && low === -1 && high === 1) return 1;
  for (let bits = 2; bits < 16; bits++) {
    if (low >= -(2 ** (bits - 1)) && high < 2 ** (bits - 1)) return bits;
  }
  return 16;
}
