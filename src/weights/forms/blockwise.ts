/** @file Blockwise: one number for all positions of a block along an axis, as the scales of blocks are. */
import { defineForm, integers, learns, type Shape } from "../form.ts";
import { composed, type Weight, wholeLeaf } from "../weight.ts";

/**
 * S[.., j, ..] = v[.., b(j), ..], b(j) being the block of position j. It stands where blocks are not
 * all of one length. The axis is the one on which v is shorter than S.
 */
export const blockwise = defineForm({
  kind: "blockwise",
  cite: "Dettmers et al. 2022, arXiv 2110.02861, section 2.1",
  doc: "S = v[b], b the block of each position along an axis",
  theta: { values: learns({ keepsZeros: false }), block: integers("int32", 0, 2 ** 16 - 1) },
  build(g, { values, block }, shape) {
    const from = values.shape as Shape;
    const axis = shape.findIndex((dim, i) => from[i] !== dim);
    if (axis < 0 || from.length !== shape.length) throw new Error("values differ along one axis");
    return g.Gather(values, block, { axis });
  },
  examples: [
    { shape: [6, 5], theta: { values: [6, 2], block: [5] } },
    { shape: [5, 6], theta: { values: [2, 6], block: [5] } },
  ],
});

/** How elements and the scales of their blocks are laid out. */
export interface Blocks {
  /** The shape of the elements: the weight's, or with the axis split into [blocks, block]. */
  readonly elements: Shape;
  /** The shape of one number per block, in the order of `quantizeBlocks`. */
  readonly scales: Shape;
  /** What is broadcast against the elements, from numbers of the shape `scales`. */
  spread(scales: Weight): Weight;
}

/**
 * Blocks of `block` consecutive numbers along `axis` of a weight of `shape`. If they fill the axis,
 * it is split in two, and scales have a 1 in the place of the block's numbers. Otherwise the last
 * block is shorter, and a form repeats the scales.
 */
export function blocksOf(shape: Shape, axis: number, block: number): Blocks {
  const size = shape[axis];
  const count = Math.ceil(size / block);
  const scales = shape.with(axis, count);
  if (size % block === 0) {
    const split = (length: number): Shape => scales.toSpliced(axis + 1, 0, length);
    return {
      elements: split(block),
      scales: split(1),
      spread: (weight) => weight,
    };
  }
  if (count === 1) return { elements: shape, scales, spread: (weight) => weight };
  const index = Uint16Array.from({ length: size }, (_, j) => Math.floor(j / block));
  return {
    elements: shape,
    scales,
    spread: (values) =>
      composed(blockwise, shape, { values, block: wholeLeaf(index, [size], false) }),
  };
}
