/** @file Grid: whole numbers times a scale per weight, per channel or per block. */
import type { Value } from "../../ir/graph.ts";
import { quantizeBlocks, quantizeChannels } from "../../numeric/quantize.ts";
import type { Builder } from "../../ops/builder.ts";
import { defineForm, integers, leafOf, learns, type Shape } from "../form.ts";
import { type Composed, composed, leaf, type Weight, type Whole, wholeLeaf } from "../weight.ts";
import { type Blocks, blocksOf } from "./blockwise.ts";

/**
 * W = s q. The shape of the scale s tells what shares one scale: [] all of W; 1 on every axis but
 * one, the channels of that axis. For blocks of b numbers along an axis, the levels q have that
 * axis split into [size / b, b], and the scale has 1 in place of b. Where the last block is
 * shorter, q has W's own shape, and the scale is `blockwise`.
 */
export const grid = defineForm({
  kind: "grid",
  cite: "Krishnamoorthi 2018, arXiv 1806.08342, section 2",
  doc: "W = s q, q whole numbers",
  theta: {
    levels: integers("float32", -(2 ** 15), 2 ** 15 - 1),
    scale: learns({ keepsZeros: false }),
  },
  build(g, { levels, scale }, shape) {
    return unsplit(g, g.Mul(levels, scale), levels, shape);
  },
  examples: [
    { shape: [6, 4], theta: { levels: [6, 4], scale: [] } },
    { shape: [6, 4], theta: { levels: [6, 2, 2], scale: [6, 2, 1] } },
  ],
  elements: "levels",
  toInt8({ shape, theta }, axis, { bits }) {
    const levels = leafOf<Int8Array>({ theta }, "levels");
    const own = channelAxis(theta.scale.shape);
    const fits = levels.shape.length === shape.length && own !== undefined;
    if (!fits || (levels.coding as Whole).bits > bits || (own !== null && own !== axis))
      return null;
    return { levels, scale: theta.scale.values as Float32Array, axis: own };
  },
});

/** The weight of `shape` from numbers in the shape of the levels, whose blocks split an axis. */
export const unsplit = (g: Builder, numbers: Value, levels: Value, shape: Shape): Value =>
  levels.shape?.length === shape.length ? numbers : g.Reshape(numbers, g.ints(shape, "shape"));

/**
 * The axis along which scales differ; null for a single scale, undefined if they
 * differ along several.
 */
function channelAxis(scale: Shape): number | null | undefined {
  const long = scale.flatMap((dim, axis) => (dim > 1 ? [axis] : []));
  return long.length > 1 ? undefined : (long[0] ?? null);
}

/** Levels of `shape` with one step for the whole weight. */
export function uniformGrid(
  q: Int8Array | Int16Array,
  shape: Shape,
  step: number,
  bits?: number,
): Composed {
  return gridOf(q, shape, { scales: Float32Array.of(step), axis: null, block: null, bits });
}

/** The step of a weight on a grid with one step; null for any other weight. */
export function uniformStep(weight: Weight): number | null {
  if (weight.form?.kind !== grid.kind) return null;
  const { scale } = (weight as Composed).theta;
  return scale.values.length === 1 ? scale.values[0] : null;
}

/** Scales of a grid, as `quantizeChannels` and `quantizeBlocks` give them. */
export interface Scales {
  /** One (axis null), one per channel of `axis`, or one per `block` numbers along `axis`. */
  readonly scales: Float32Array;
  readonly axis: number | null;
  readonly block: number | null;
  /** Bits of the levels; as few as hold them if left out. */
  readonly bits?: number | undefined;
}

/** A grid of `shape` from its levels in the weight's own order. */
export function gridOf(
  q: Int8Array | Int16Array,
  shape: Shape,
  { scales, axis, block, bits }: Scales,
): Composed {
  const layout = layoutOf(shape, axis, block);
  return composed(grid, shape, {
    levels: wholeLeaf(q, layout.elements, true, bits),
    scale: layout.spread(leaf(scales, layout.scales)),
  });
}

/** How the levels and scales of a grid are laid out. */
export function layoutOf(shape: Shape, axis: number | null, block: number | null): Blocks {
  if (axis !== null && block !== null) return blocksOf(shape, axis, block);
  const scales = axis === null ? [] : shape.map((dim, i) => (i === axis ? dim : 1));
  return { elements: shape, scales, spread: (weight) => weight };
}

interface GridOptions {
  readonly bits: number;
  /**
   * Numbers per scale along `axis`; 0: one scale per channel of `axis`, or a single one (axis
   * null).
   */
  readonly block: number;
  readonly axis: number | null;
  readonly search: "minmax" | "mse";
}

/** Rounds values to the nearest levels of symmetric grids of `bits` bits. */
export function roundToGrid(
  values: Float32Array,
  shape: Shape,
  { bits, block, axis, search }: GridOptions,
): Composed {
  const options = { bits, symmetric: true, search };
  if (block > 0 && axis !== null) {
    const { q, scales } = quantizeBlocks(values, shape, axis, block, options);
    return gridOf(q, shape, { scales, axis, block, bits });
  }
  const { q, scales } = quantizeChannels(values, shape, axis, options);
  return gridOf(q, shape, { scales, axis, block: null, bits });
}
