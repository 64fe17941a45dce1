/** @file Form: one way to compute a weight from smaller tensors, W = f(theta). */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import type { Numbers } from "./element.ts";
import type { Composed, Leaf, Weight } from "./weight.ts";

export type Shape = readonly number[];

/** One of the tensors theta that a weight is computed from. */
export interface Part {
  /** The type that `build` reads; the file may store the numbers in fewer bits. */
  readonly dtype: "float32" | "int8" | "int32" | "int64";
  /** Training moves it. */
  readonly learns: boolean;
  /** The least and the greatest whole number it holds; null for real numbers. */
  readonly integers: readonly [number, number] | null;
  /** Exact zeros were pruned: training leaves them at zero. */
  readonly keepsZeros: boolean;
  /** The axis along which each slice may have a scale of its own when it is quantized. */
  readonly channels: number | null;
}

/** A real-valued part that training moves. */
export const learns = (options: Partial<Pick<Part, "keepsZeros" | "channels">> = {}): Part => ({
  dtype: "float32",
  learns: true,
  integers: null,
  keepsZeros: true,
  channels: null,
  ...options,
});

/** A part of whole numbers from `least` to `greatest`, which training does not move. */
export const integers = (dtype: Part["dtype"], least: number, greatest: number): Part => ({
  dtype,
  learns: false,
  integers: [least, greatest],
  keepsZeros: false,
  channels: null,
});

/** Shapes of W and theta for which `build` gives one structure of nodes. */
export interface Example<P extends string> {
  readonly shape: Shape;
  readonly theta: Readonly<Record<P, Shape>>;
}

/** int8 levels of a weight and their scales: what DequantizeLinear before an integer kernel takes. */
export interface Int8Levels {
  /** int8, of the weight's shape. */
  readonly levels: Weight;
  /** One scale (axis null), or one per channel of `axis`. */
  readonly scale: Float32Array;
  readonly axis: number | null;
}

/** How weights are rounded to int8. */
export interface Rounding {
  readonly bits: number;
  readonly search: "minmax" | "mse";
}

/**
 * A pure function of the shapes of its parts and of W. It has no numbers of its own: a grid's axis and
 * blocks follow from its scale's shape, seeds of a hash are integer parts, and tables that anyone can
 * compute (Hadamard, DCT) are computed in `build` and not stored.
 */
export interface Form<P extends string = string> {
  /** Unique; shown in reports and reasons. */
  readonly kind: string;
  readonly cite: string;
  /** The equation. */
  readonly doc: string;
  /** In the order in which the parts are written. */
  readonly theta: Readonly<Record<P, Part>>;
  /** Adds the nodes that compute W, float32 (int8 where an integer kernel reads it), of `shape`. */
  build(g: Builder, theta: Readonly<Record<NoInfer<P>, Value>>, shape: Shape): Value;
  /** One per structure of nodes: what a reader of files looks for, and what tests run on. */
  readonly examples: readonly Example<NoInfer<P>>[];
  /** The part that has one number for each number of W, in the same order, if there is one. */
  readonly elements?: NoInfer<P>;
  /** An integer kernel reads W: what DequantizeLinear gives. Another form in its place loses the kernel. */
  readonly isInteger?: boolean;
  /** The parts of the same form with some elements of W at zero, where that is more than zeros in `elements`. */
  withZeros?(
    theta: Readonly<Record<NoInfer<P>, Weight>>,
    isZero: (element: number) => boolean,
  ): Record<NoInfer<P>, Weight>;
  /** W in int8 by the parts that are there already; null where they do not fit `axis` and `rounding`. */
  toInt8?(weight: Composed, axis: number, rounding: Rounding): Int8Levels | null;
}

/** Keeps the names of the parts: `build` sees exactly those that `theta` declares. */
export function defineForm<const P extends string>(form: Form<P>): Form<P> {
  return form;
}

/** The part called `name` of a composed weight, which has to be a leaf. */
export function leafOf<A extends Numbers>(
  { theta }: Pick<Composed, "theta">,
  name: string,
): Leaf<A> {
  const part = theta[name];
  if (part.form !== null) throw new Error(`part ${name} is a ${part.form.kind}, not plain numbers`);
  return part as Leaf<A>;
}
