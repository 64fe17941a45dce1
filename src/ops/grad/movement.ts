/** @file Gradients of operators that only move elements: dy moves back, and adds up where it meets. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
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

/** The size of one axis, as a vector of one element. */
function sizeAlong(g: Builder, x: Value, axis: number): Value {
  const size = x.shape?.[axis];
  return typeof size === "number"
    ? g.ints([size], "size")
    : g.Shape(x, { start: axis, end: axis + 1 });
}

/**
 * Whatever the operator does to x it does to 0, 1, 2 ...: that says where each element of dy came
 * from. General and slow; rules prefer an operator of their own.
 */
export function scatterBack(
  g: Builder,
  dy: Value,
  x: Value,
  move: (positions: Value) => Value,
): Value {
  const flat = g.ints([-1], "flat");
  const [zero, one] = [0, 1].map((n) => g.constant(n, { dtype: "int64" }));
  const positions = g.Reshape(g.Range(zero, g.Size(x), one), g.Shape(x));
  const sources = g.Reshape(move(positions), flat);
  const zeros = g.Reshape(zerosLike(g, x), flat);
  const sum = g.ScatterElements(zeros, sources, g.Reshape(dy, flat), { reduction: "add" });
  return reshapeLike(g, sum, x);
}

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

const split: ManyRule = {
  many: (g, dys, node) => {
    const parts = dys.map((dy, i) => dy ?? zerosLike(g, node.outputs[i]));
    return [g.Concat(...parts, { axis: node.int("axis", 0) }), null];
  },
};

const pad: OneRule = (g, dy, node) => {
  const [x, pads, , axes] = node.inputs;
  const mode = node.text("mode", "constant");
  // Cuts off what was added, adds zeros where was cut.
  if (mode === "constant") return [g.Pad(dy, g.Neg(pads), null, axes), null, null, null];
  return [scatterBack(g, dy, x, (at) => g.Pad(at, pads, null, axes, { mode })), null, null, null];
};

const slice: OneRule = (g, dy, { inputs: [x, ...where] }) => [
  scatterBack(g, dy, x, (at) => g.Slice(at, ...where)),
  ...where.map(() => null),
];

/** Slices of an axis of x stacked: those of one row add up. */
const gather: OneRule = (g, dy, node) => {
  const [x, indices] = node.inputs;
  const axis = axisOf(node.int("axis", 0), rankOf(x, node));
  if (axis !== 0) return [scatterBack(g, dy, x, (at) => g.Gather(at, indices, { axis })), null];
  const rows = g.Unsqueeze(indices, g.ints([-1], "axes"));
  return [g.ScatterND(zerosLike(g, x), rows, dy, { reduction: "add" }), null];
};

const gatherElements: OneRule = (g, dy, node) => {
  const [x, indices] = node.inputs;
  const attributes = { axis: node.int("axis", 0), reduction: "add" };
  return [g.ScatterElements(zerosLike(g, x), indices, dy, attributes), null];
};

const gatherND: OneRule = (g, dy, node) => {
  const [x, indices] = node.inputs;
  if (node.int("batch_dims", 0) !== 0) throw unsupported(node, "batch_dims");
  return [g.ScatterND(zerosLike(g, x), indices, dy, { reduction: "add" }), null];
};

/** What was overwritten has no gradient; what was written gets dy from there. */
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

/** The adjoint of moving channels into space is moving space into channels. */
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
  // The driver sums over what was repeated.
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
  Tile: (g, dy, { inputs: [x, repeats] }) => [
    scatterBack(g, dy, x, (at) => g.Tile(at, repeats)),
    null,
  ],
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
  DepthToSpace: depthToSpace,
  SpaceToDepth: (g, dy, node) => [
    g.DepthToSpace(dy, { blocksize: node.int("blocksize", 1), mode: "DCR" }),
  ],
} satisfies GradRules;
