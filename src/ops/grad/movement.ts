/** @file Gradients of operators that only move elements: dy is moved back. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { constantValue } from "../constant.ts";
import { gather, gatherElements, gatherND, scatterBack, slice } from "./gather.ts";
import {
  axisOf,
  type GradNode,
  type GradRules,
  type ManyRule,
  type OneRule,
  rankOf,
  reshapeLike,
  sizesOf,
  unsupported,
  zerosLike,
} from "./rule.ts";

const backToShape: OneRule = (g, dy, { inputs: [x] }) => [reshapeLike(g, dy, x), null];

/** The size of one axis as an int64 vector of one element. */
function sizeAlong(g: Builder, x: Value, axis: number): Value {
  const size = x.shape?.[axis];
  return typeof size === "number"
    ? g.ints([size], "size")
    : g.Shape(x, { start: axis, end: axis + 1 });
}

/** dy is split into the parts that were joined. */
const concat: OneRule = (g, dy, node) => {
  const axis = axisOf(node.int("axis", 0), rankOf(node.output, node));
  const { inputs } = node;
  if (inputs.length === 1) return [dy];
  const sizes = inputs.map((x) => sizeAlong(g, x, axis));
  const isStatic = sizes.every((size) => size.tensor);
  const split = isStatic
    ? g.ints(inputs.map((x) => x.shape?.[axis] as number))
    : g.Concat(...sizes, { axis: 0 });
  return g.many("Split", [dy, split], { outputs: inputs.length, attributes: { axis } });
};

/** The gradients of all parts are joined; parts that the loss ignores are zeros. */
const split: ManyRule = {
  many: (g, dys, node) => {
    const parts = dys.map((dy, i) => dy ?? zerosLike(g, node.outputs[i]));
    return [g.Concat(...parts, { axis: node.int("axis", 0) }), null];
  },
};

/**
 * The negated pads of all axes, or null if they are not constant. The engine's optimizer confuses
 * pads of a few axes (1.30).
 */
function allPads(x: Value, pads: Value, axes: Value | undefined): number[] | null {
  const [list, at] = [pads, axes].map((value) => value && constantValue(value)?.numbers());
  const rank = x.shape?.length;
  if (!list || rank === undefined || (axes && !at)) return null;
  const all = new Array<number>(2 * rank).fill(0);
  const count = list.length / 2;
  for (let i = 0; i < count; i++) {
    const axis = at ? axisOf(at[i], rank) : i;
    [all[axis], all[rank + axis]] = [-list[i], -list[count + i]];
  }
  return all;
}

/**
 * With constants, padding is cut off again and zeros are added where elements were cut off. Other
 * modes copy elements, whose gradients add up.
 */
const pad: OneRule = (g, dy, node) => {
  const [x, pads, , axes] = node.inputs;
  const mode = node.text("mode", "constant");
  // Cuts off what was added, adds zeros where was cut.
  if (mode === "constant") {
    const all = allPads(x, pads, axes);
    const back = all ? g.Pad(dy, g.ints(all, "pads")) : g.Pad(dy, g.Neg(pads), null, axes);
    return [back, null, null, null];
  }
  return [scatterBack(g, dy, x, (at) => g.Pad(at, pads, null, axes, { mode })), null, null, null];
};

/** The gradients of all copies add up: an axis of r copies is reshaped to [r, size] and summed. */
const tile: OneRule = (g, dy, { inputs: [x, repeats] }) => {
  const counts = constantValue(repeats)?.numbers();
  const sizes = x.shape?.map((size) => (typeof size === "number" ? size : -1));
  if (!counts || !sizes || sizes.filter((size) => size < 1).length > 1) {
    return [scatterBack(g, dy, x, (at) => g.Tile(at, repeats)), null];
  }
  const split = sizes.flatMap((size, axis) => [counts[axis], size]);
  const axes = sizes.map((_, axis) => 2 * axis);
  const parts = g.Reshape(dy, g.ints(split, "shape"));
  return [g.ReduceSum(parts, g.ints(axes, "axes"), { keepdims: 0 }), null];
};

/** The running sum in the opposite direction. */
const cumSum: OneRule = (g, dy, node) => {
  const attributes = { exclusive: node.int("exclusive", 0), reverse: 1 - node.int("reverse", 0) };
  return [g.CumSum(dy, node.inputs[1], attributes), null];
};

/** dy goes to the elements that were picked. */
const topK: OneRule = (g, dy, node) => {
  const [x, count] = node.inputs;
  const { axis, largest } = { axis: node.int("axis", -1), largest: node.int("largest", 1) };
  const attributes = { axis, largest };
  const [, at] = g.many("TopK", [x, count], { outputs: 2, attributes });
  return [g.ScatterElements(zerosLike(g, x), at, dy, { axis }), null];
};

/**
 * Overwritten elements have no gradient; updates get dy from where they were written. With
 * reduction "add" nothing is overwritten.
 */
function scatter(
  overwrite: (g: Builder, dy: Value, node: GradNode, zeros: Value) => Value,
  read: (g: Builder, dy: Value, node: GradNode) => Value,
): OneRule {
  return (g, dy, node) => {
    const reduction = node.text("reduction", "none");
    if (reduction !== "none" && reduction !== "add") throw unsupported(node, reduction);
    const updates = node.inputs[2];
    const kept = reduction === "add" ? dy : overwrite(g, dy, node, zerosLike(g, updates));
    return [kept, null, read(g, dy, node)];
  };
}

/** The adjoint of moving channels into space moves space into channels. */
const depthToSpace: OneRule = (g, dy, node) => {
  const blocksize = node.int("blocksize", 1);
  if (node.text("mode", "DCR") === "DCR") return [g.SpaceToDepth(dy, { blocksize })];
  const [x] = node.inputs;
  const [depth, height, width] = sizesOf(x, node, 1);
  const channels = depth / blocksize ** 2;
  const sizes = [0, channels, height, blocksize, width, blocksize];
  const blocks = g.Reshape(dy, g.ints(sizes, "shape"));
  return [reshapeLike(g, g.Transpose(blocks, { perm: [0, 1, 3, 5, 2, 4] }), x)];
};

export const movements = {
  Reshape: backToShape,
  Flatten: backToShape,
  Squeeze: backToShape,
  Unsqueeze: backToShape,
  // The driver sums over the axes that were repeated.
  Expand: (_, dy) => [dy, null],
  Transpose: (g, dy, node) => {
    const rank = rankOf(node.inputs[0], node);
    const perm = node.ints("perm") ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
    return [g.Transpose(dy, { perm: perm.map((_, axis) => perm.indexOf(axis)) })];
  },
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Tile: tile,
  Trilu: (g, dy, node) => [g.Trilu(dy, node.inputs[1], { upper: node.int("upper", 1) }), null],
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  ScatterElements: scatter(
    (g, dy, node, zeros) =>
      g.ScatterElements(dy, node.inputs[1], zeros, { axis: node.int("axis", 0) }),
    (g, dy, node) => g.GatherElements(dy, node.inputs[1], { axis: node.int("axis", 0) }),
  ),
  ScatterND: scatter(
    (g, dy, node, zeros) => g.ScatterND(dy, node.inputs[1], zeros),
    (g, dy, node) => g.GatherND(dy, node.inputs[1]),
  ),
  CumSum: cumSum,
  TopK: topK,
  // Reversing twice restores the order.
  ReverseSequence: (g, dy, node) => {
    const attributes = {
      time_axis: node.int("time_axis", 0),
      batch_axis: node.int("batch_axis", 1),
    };
    return [g.ReverseSequence(dy, node.inputs[1], attributes), null];
  },
  Compress: (g, dy, node) => {
    const [x, chosen] = node.inputs;
    const axis = node.int("axis");
    const attributes = axis === undefined ? {} : { axis };
    return [scatterBack(g, dy, x, (at) => g.Compress(at, chosen, attributes)), null];
  },
  DepthToSpace: depthToSpace,
  SpaceToDepth: (g, dy, node) => [
    g.DepthToSpace(dy, { blocksize: node.int("blocksize", 1), mode: "DCR" }),
  ],
} satisfies GradRules;
