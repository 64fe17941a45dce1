/** @file Form: one way to compute a weight from smaller tensors, W = f(theta). */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import type { Numbers } from "./element.ts";
import type { Composed, Leaf, Weight } from "./weight.ts";

export type Shape = readonly number[];

/** One of the tensors theta from which a weight is computed. */
export interface Part {
  /** The type that `build` reads. The file may store the numbers in fewer bits. */
  readonly dtype: "float32" | "int8" | "int32" | "int64";
  /** Whether training changes it. */
  readonly learns: boolean;
  /** The range of whole numbers that it holds; null for real numbers. */
  readonly integers: readonly [number, number] | null;
  /** Whether exact zeros stay zero in training, because pruning made them. */
  readonly keepsZeros: boolean;
  /** The axis whose slices may each have their own scale when the part is quantized. */
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

/** A real-valued part that training leaves alone. */
export const fixed = (): Part => ({ ...learns({ keepsZeros: false }), learns: false });

/** A part of whole numbers from `least` to `greatest`, which training does not move. */
export const integers = (dtype: Part["dtype"], least: number, greatest: number): Part => ({
  dtype,
  learns: false,
  integers: [least, greatest],
  keepsZeros: false,
  channels: null,
});

/** Shapes of W and theta for which `build` adds one particular structure of nodes. */
export interface Example<P extends string> {
  readonly shape: Shape;
  readonly theta: Readonly<Record<P, Shape>>;
}

/** A weight in int8: the levels and scales that DequantizeLinear reads before an integer kernel. */
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
 * A pure function from the parts to W. It holds no numbers of its own: the axis and the blocks of a
 * grid follow from the shape of its scale, the seeds of a hash are integer parts, and constant
 * tables (Hadamard, DCT) are computed in `build` instead of being stored.
 */
export interface Form<P extends string = string> {
  /** Unique; used in reports and reasons. */
  readonly kind: string;
  readonly cite: string;
  /** The equation of W. */
  readonly doc: string;
  /** The parts, in the order in which they are written. */
  readonly theta: Readonly<Record<P, Part>>;
  /**
   * Adds the nodes that compute W from the parts: float32, or int8 for an integer
   * kernel, of `shape`.
   */
  build(g: Builder, theta: Readonly<Record<NoInfer<P>, Value>>, shape: Shape): Value;
  /**
   * One for each structure of nodes that `build` can add. `matchForm` searches files for them, and
   * tests run on them.
   */
  readonly examples: readonly Example<NoInfer<P>>[];
  /** The part that has one number for each element of W, in the same order, if there is one. */
  readonly elements?: NoInfer<P>;
  /**
   * Whether W is what DequantizeLinear gives to an integer kernel. In any other form
   * the kernel is lost.
   */
  readonly isInteger?: boolean;
  /**
   * The parts of the weight with some elements of W at zero, for forms where zeros in `elements`
   * alone would not do.
   */
  withZeros?(
    theta: Readonly<Record<NoInfer<P>, Weight>>,
    isZero: (element: number) => boolean,
  ): Record<NoInfer<P>, Weight>;
  /** W in int8, made from the parts; null if they do not fit `axis` and `rounding`. */
  toInt8?(weight: Composed, axis: number, rounding: Rounding): Int8Levels | null;
}

/** Infers the names of the parts, so that `build` sees exactly those that `theta` declares. */
export function defineForm<const P extends string>(form: Form<P>): Form<P> {
  return form;
}

/** The part called `name`, which has to be plain numbers; otherwise throws an Error. */
export function leafOf<A extends Numbers>(
  { theta }: Pick<Composed, "theta">,
  name: string,
): Leaf<A> {
  const part = theta[name];
  if (part.form !== null) throw new Error(`part ${name} is a ${part.form.kind}, not plain numbers`);
  return part as Leaf<A>;
}
