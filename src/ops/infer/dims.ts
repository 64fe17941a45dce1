/** @file Arithmetic on dims: numbers, symbols ("N") and unknowns (null). */
import type { Dim, Node } from "../../ir/graph.ts";
import type { OpName } from "../schema.ts";
import type { Known } from "./known.ts";

export type Shape = readonly Dim[];

export interface InferContext {
  /** What is known of the elements of input `index`; null if not even their number. */
  known(index: number): Known | null;
  /** Infers a body whose inputs have their types. */
  infer(body: Node["subgraphs"][number]): void;
}

/** One shape per output, null where even the rank is unknown. */
export type InferRule = (node: Node, context: InferContext) => readonly (Shape | null)[];
export type InferRules = { readonly [K in OpName]?: InferRule };

export function shapeOf(node: Node, index: number): Shape | null {
  return node.inputs[index]?.shape ?? null;
}

export function isStatic(shape: Shape | null | undefined): shape is readonly number[] {
  return !!shape?.every((dim) => typeof dim === "number");
}

/** A rule of the first input's shape (unknown in, unknown out), for one output. */
export function ofInput(
  f: (shape: Shape, node: Node, context: InferContext) => Shape | null,
): InferRule {
  return (node, context) => {
    const shape = shapeOf(node, 0);
    return [shape && f(shape, node, context)];
  };
}

export const sameShape: InferRule = (node) => node.outputs.map(() => shapeOf(node, 0));

/** Computes with a dim only where it is a number. */
export function mapDim(dim: Dim | undefined, f: (size: number) => number): Dim {
  return typeof dim === "number" ? f(dim) : null;
}

export function unknown(rank: number): Shape {
  return new Array<Dim>(rank).fill(null);
}

export function axisOf(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** NumPy's rule; a size above 1 wins over what is unknown, since the model is taken to be valid. */
export function broadcastDims(shapes: readonly (Shape | null)[]): Shape | null {
  const given = shapes.filter((shape) => shape !== null);
  if (given.length < shapes.length) return null;
  const rank = Math.max(0, ...given.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) =>
    given
      .map((shape) => (axis >= rank - shape.length ? shape[axis - rank + shape.length] : 1))
      .reduce(broadcastDim, 1),
  );
}

function broadcastDim(a: Dim, b: Dim): Dim {
  if (a === 1 || a === b) return b;
  if (b === 1) return a;
  if (typeof a === "number") return a;
  return typeof b === "number" ? b : null;
}

/** The same dim where both agree, else unknown. */
export function agree(a: Shape | null, b: Shape | null): Shape | null {
  if (!a || !b || a.length !== b.length) return null;
  return a.map((dim, i) => (dim === b[i] ? dim : null));
}

/** A product of dims as coefficient * symbols; null if something is unknown. */
export function factor(dims: Shape): { size: number; symbols: string[] } | null {
  let size = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    if (dim === null) return null;
    if (typeof dim === "number") size *= dim;
    else symbols.push(dim);
  }
  return { size, symbols };
}

export function productDim(dims: Shape): Dim {
  const all = factor(dims);
  if (dims.includes(0)) return 0;
  if (!all) return null;
  if (all.symbols.length === 0) return all.size;
  return all.symbols.length === 1 && all.size === 1 ? all.symbols[0] : null;
}

/** product(a) / product(b), if it comes to one number or one symbol. */
export function quotientDim(a: Shape, b: Shape): Dim {
  const [top, bottom] = [factor(a), factor(b)];
  if (!top || !bottom || bottom.size === 0) return null;
  const left = [...top.symbols];
  for (const symbol of bottom.symbols) {
    const at = left.indexOf(symbol);
    if (at < 0) return null;
    left.splice(at, 1);
  }
  const size = top.size / bottom.size;
  if (left.length === 0) return Number.isInteger(size) ? size : null;
  return left.length === 1 && size === 1 ? left[0] : null;
}
