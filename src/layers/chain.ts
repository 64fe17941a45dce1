/**
 * @file A chain: the layers that replace one layer, as data.
 *
 * A stage declares which spatial axes of the layer it owns. Along these it has the layer's stride,
 * padding and dilation; along the others it keeps the size of its input. Every path from input to
 * output has exactly one owner of each axis, so that a chain of linear stages is the convolution
 * whose kernel is the product of theirs.
 */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";

/**
 * What decides a stage's place in the chain and its cost: everything but the values of its weight.
 */
export interface Outline {
  readonly name: string;
  /** [outputs, inputs / groups, ...kernel]; [outputs, inputs] in a linear layer. */
  readonly shape: readonly number[];
  /** Groups of a convolution, default 1; as many as inputs: depthwise. */
  readonly groups?: number;
  /**
   * The spatial axes that the stage owns. Default: those that its kernel spans (size > 1) and no
   * other stage claims. Axes that no kernel spans go to the first stage that leaves this out.
   */
  readonly axes?: readonly number[];
}

/** One convolution, or one product y = W x. Its node and its weight are named `<layer>/<name>`. */
export interface Stage extends Outline {
  /**
   * The weight, row-major, of `shape`. In a linear layer it is W of y = W x, on whichever side of
   * the product it will stand.
   */
  readonly values: Float32Array | Float64Array;
}

/**
 * Nodes between stages, such as an activation or a normalization. The result has the spatial
 * size of its input.
 */
export type Insert = (g: Builder, x: Value) => Value;

/** Several chains that read the same input x; an empty chain passes x on. */
export interface Branches<S extends Outline = Stage> {
  /** "sum" adds the branches' outputs, "concat" joins them along the channels or features. */
  readonly join: "sum" | "concat";
  readonly branches: readonly Chain<S>[];
}

export type Part<S extends Outline = Stage> = S | Insert | Branches<S>;

/** Parts in order of execution. */
export type Chain<S extends Outline = Stage> = readonly Part<S>[];

/** A stage with its axes stated. */
export type Placed<S extends Outline = Stage> = S & Required<Pick<Outline, "axes">>;

export const isInsert = <S extends Outline>(part: Part<S>): part is Insert =>
  typeof part === "function";
export const isBranches = <S extends Outline>(part: Part<S>): part is Branches<S> =>
  !isInsert(part) && "branches" in part;

/**
 * The same chain with the axes of every stage stated, so that each of `axes` has one owner on every
 * path. Throws an Error if an axis has no owner, or two on one path.
 */
export function placeAxes<S extends Outline>(
  chain: Chain<S>,
  axes: readonly number[],
): Chain<Placed<S>> {
  const free = new Set(axes);
  const owned = chain.map(() => new Set<number>());
  const take = (i: number, axis: number): void => {
    free.delete(axis);
    owned[i].add(axis);
  };
  for (const [i, part] of chain.entries()) {
    for (const axis of statedIn(part)) {
      if (!free.has(axis)) throw new Error(`${nameOf(part)} cannot own axis ${axis}`);
      take(i, axis);
    }
  }
  for (const [i, part] of chain.entries()) {
    for (const axis of spannedIn(part)) if (free.has(axis)) take(i, axis);
  }
  const first = chain.findIndex(isOpen);
  if (free.size > 0 && first < 0) throw new Error(`no stage owns axis ${[...free].join(", ")}`);
  for (const axis of free) take(first, axis);
  return chain.map((part, i) => {
    const own = [...owned[i]].sort((a, b) => a - b);
    if (isInsert(part)) return part;
    if (!isBranches(part)) return { ...part, axes: own };
    return { join: part.join, branches: part.branches.map((branch) => placeAxes(branch, own)) };
  });
}

/** The axes that the part's stages claim. */
function statedIn<S extends Outline>(part: Part<S>): Set<number> {
  return new Set(outlinesIn([part]).flatMap(({ axes }) => axes ?? []));
}

/** The axes that the kernels of those stages span that claim none. */
function spannedIn<S extends Outline>(part: Part<S>): Set<number> {
  const silent = outlinesIn([part]).filter(({ axes }) => !axes);
  const spans = silent.map(({ shape }) => shape.slice(2).map((size) => size > 1));
  return new Set(spans.flatMap((spans) => [...spans.keys()].filter((axis) => spans[axis])));
}

/** Whether every path through the part has a stage that may own one more axis. */
function isOpen<S extends Outline>(part: Part<S>): boolean {
  if (isInsert(part)) return false;
  return isBranches(part) ? part.branches.every((branch) => branch.some(isOpen)) : !part.axes;
}

const nameOf = <S extends Outline>(part: Part<S>): string =>
  outlinesIn([part])
    .map(({ name }) => name)
    .join(", ");

/** All stages, including those of branches. */
export function outlinesIn<S extends Outline>(chain: Chain<S>): S[] {
  return chain.flatMap((part) => {
    if (isInsert(part)) return [];
    return isBranches(part) ? part.branches.flatMap(outlinesIn<S>) : [part];
  });
}

/**
 * How many channels leave the chain when `inputs` enter it; null if that is not known, as behind an
 * Insert. Throws an Error if a stage does not fit the width that reaches it.
 */
export function widthOf<S extends Outline>(chain: Chain<S>, inputs: number | null): number | null {
  let width = inputs;
  for (const part of chain) {
    if (isInsert(part)) width = null;
    else if (isBranches(part)) width = joinedWidth(part, width);
    else {
      const { name, shape, groups = 1 } = part;
      const read = shape[1] * groups;
      if (width !== null && width !== read) {
        throw new Error(`${name} reads ${read} channels; ${width} arrive`);
      }
      [width] = shape;
    }
  }
  return width;
}

function joinedWidth<S extends Outline>(
  { join, branches }: Branches<S>,
  inputs: number | null,
): number | null {
  const widths = branches.map((branch) => widthOf(branch, inputs));
  const known = widths.filter((width) => width !== null);
  if (join === "concat") {
    return known.length < widths.length ? null : known.reduce((a, b) => a + b, 0);
  }
  if (new Set(known).size > 1) throw new Error(`a sum of ${known.join(" and ")} channels`);
  return known[0] ?? null;
}
