/** @file Arithmetic on dims: numbers, symbols ("N") and unknowns (null). */
import type { Dim, Node } from "../../ir/graph.ts";
import type { OpName } from "../schema.ts";
import type { Known } from "./known.ts";

export type Shape = readonly Dim[];

/** What a rule may use besides its node. */
export interface InferContext {
  /** What is known of the elements of input `index`; null if not even their number. */
  known(index: number): Known | null;
  /** Infers a body whose inputs have their types. */
  infer(body: Node["subgraphs"][number]): void;
}

/** One shape per output; null where even the rank is unknown. */
export type InferRule = (node: Node, context: InferContext) => readonly (Shape | null)[];
export type InferRules = { readonly [K in OpName]?: InferRule };

export function shapeOf(node: Node, index: number): Shape | null {
  return node.inputs[index]?.shape ?? null;
}

export function isStatic(shape: Shape | null | undefined): shape is readonly number[] {
  return !!shape?.every((dim) => typeof dim === "number");
}

/** A rule for one output that maps the shape of the first input; unknown stays unknown. */
export function ofInput(
  f: (shape: Shape, node: Node, context: InferContext) => Shape | null,
): InferRule {
  return (node, context) => {
    const shape = shapeOf(node, 0);
    return [shape && f(shape, node, context)];
  };
}

export const sameShape: InferRule = (node) => node.outputs.map(() => shapeOf(node, 0));

/** f of a dim that is a number; otherwise unknown. */
export function mapDim(dim: Dim | undefined, f: (size: number) => number): Dim {
  return typeof dim === "number" ? f(dim) : null;
}

/** A shape of `rank` unknown sizes. */
export function unknown(rank: number): Shape {
  return new Array<Dim>(rank).fill(null);
}

export { axisOf } from "../evaluate/elements.ts";

/**
 * The common shape by NumPy's broadcasting. Models are taken to be valid, so a size above 1 decides
 * against an unknown one.
 */
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

/** The dims in which both shapes agree, unknown where they differ; null if the ranks differ. */
export function agree(a: Shape | null, b: Shape | null): Shape | null {
  if (!a || !b || a.length !== b.length) return null;
  return a.map((dim, i) => (dim === b[i] ? dim : null));
}

/** The product of dims as a number times symbols; null if a dim is unknown. */
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

/** The product of dims, if it is one number or one symbol; otherwise unknown. */
export function productDim(dims: Shape): Dim {
  const all = factor(dims);
  if (dims.includes(0)) return 0;
  if (!all) return null;
  if (all.symbols.length === 0) return all.size;
  return all.symbols.length === 1 && all.size === 1 ? all.symbols[0] : null;
}

/** product(a) / product(b), if it is one number or one symbol; otherwise unknown. */
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
