/** @file Shapes of operators that move elements: reshape, slice, join, pick, repeat. */
import type { Dim } from "../../ir/graph.ts";
import { sliceRange, splitSizes } from "../evaluate/movement.ts";
import {
  axisOf,
  broadcastDims,
  type InferRule,
  type InferRules,
  mapDim,
  ofInput,
  productDim,
  quotientDim,
  shapeOf,
  unknown,
} from "./dims.ts";
import { numbersOf } from "./known.ts";

/**
 * 0 copies a size of the input (unless allowzero). One unknown size, or -1, is solved for by the
 * number of elements.
 */
const reshape: InferRule = (node, { known }) => {
  const input = shapeOf(node, 0);
  const target = known(1)?.elements;
  if (!target) return [null];
  const allowZero = node.int("allowzero", 0) === 1;
  const dims = target.map((dim, i) => (dim === 0 && !allowZero ? (input?.[i] ?? null) : dim));
  // One size can be solved for: the -1, or the only unknown one.
  const gaps = dims.flatMap((dim, i) => (dim === null || dim === -1 ? [i] : []));
  if (gaps.length === 1 && input) dims[gaps[0]] = quotientDim(input, dims.toSpliced(gaps[0], 1));
  return [dims.map((dim) => (dim === -1 ? null : dim))];
};

const flatten = ofInput((shape, node) => {
  const axis = axisOf(node.int("axis", 1), shape.length);
  return [productDim(shape.slice(0, axis)), productDim(shape.slice(axis))];
});

const squeeze = ofInput((shape, node, { known }) => {
  if (!node.inputs[1]) {
    // Without axes every 1 goes: the rank is known only if all sizes are.
    return shape.every((dim) => typeof dim === "number") ? shape.filter((dim) => dim !== 1) : null;
  }
  const axes = numbersOf(known(1))?.map((axis) => axisOf(axis, shape.length));
  return axes ? shape.filter((_, axis) => !axes.includes(axis)) : null;
});

const unsqueeze = ofInput((shape, _, { known }) => {
  const axes = numbersOf(known(1));
  if (!axes) return null;
  const rank = shape.length + axes.length;
  const ones = axes.map((axis) => axisOf(axis, rank));
  const dims = [...shape];
  return Array.from({ length: rank }, (_, axis) =>
    ones.includes(axis) ? 1 : (dims.shift() ?? null),
  );
});

const transpose = ofInput((shape, node) => {
  const order = node.ints("perm") ?? shape.map((_, axis) => shape.length - 1 - axis);
  return order.map((axis) => shape[axis]);
});

/** Beyond every size. For "to the end" exporters write INT64_MAX or INT32_MAX. */
const END = 2 ** 31 - 1;

/** The size of a slice along one axis, also for symbolic sizes where it can be told. */
function sliceDim(dim: Dim, start: Dim, end: Dim, step: Dim): Dim {
  if (typeof step !== "number") return null;
  if (typeof dim === "number" && typeof start === "number" && typeof end === "number") {
    return sliceRange(dim, start, end, step).count;
  }
  if (step !== 1) return null;
  const isToEnd = (typeof end === "number" && end >= END) || (end !== null && end === dim);
  if (start === 0) {
    // A table of positions is cut to the sequence length: the slice is as long as its end says.
    return isToEnd ? dim : typeof end === "string" ? end : null;
  }
  return start === -1 && isToEnd ? 1 : null;
}

const slice = ofInput((shape, node, { known }) => {
  const [starts, ends] = [known(1)?.elements, known(2)?.elements];
  if (!starts || !ends) return unknown(shape.length);
  const axes = node.inputs[3] ? numbersOf(known(3)) : [...starts.keys()];
  if (!axes) return unknown(shape.length);
  const steps = node.inputs[4] ? known(4)?.elements : null;
  const dims = [...shape];
  for (const [i, given] of axes.entries()) {
    const axis = axisOf(given, shape.length);
    const step = node.inputs[4] ? (steps?.[i] ?? null) : 1;
    dims[axis] = sliceDim(shape[axis], starts[i], ends[i], step);
  }
  return dims;
});

/**
 * Sizes add up along the axis if all are known, or if all but one are 0. The other axes are equal.
 */
const concat: InferRule = (node) => {
  const shapes = node.inputs.map((_, i) => shapeOf(node, i));
  const like = shapes.find((shape) => shape !== null);
  if (!like) return [null];
  const along = axisOf(node.int("axis", 0), like.length);
  return [
    like.map((_, axis) => {
      const dims = shapes.map((shape) => shape?.[axis] ?? null);
      if (axis !== along) {
        return dims.find((dim) => typeof dim === "number") ?? dims.find((dim) => dim) ?? null;
      }
      const numbers = dims.filter((dim) => typeof dim === "number");
      if (numbers.length === dims.length) return numbers.reduce((a, b) => a + b, 0);
      const others = dims.filter((dim) => dim !== 0);
      return others.length === 1 ? others[0] : null;
    }),
  ];
};

const split: InferRule = (node, { known }) => {
  const shape = shapeOf(node, 0);
  if (!shape) return node.outputs.map(() => null);
  const axis = axisOf(node.int("axis", 0), shape.length);
  const dim = shape[axis];
  const given = node.inputs[1] ? known(1)?.elements : null;
  const equal = typeof dim === "number" ? splitSizes(dim, null, node.outputs.length) : null;
  const sizes = node.inputs[1] ? given : equal;
  return node.outputs.map((_, i) => shape.with(axis, sizes?.[i] ?? null));
};

const expand: InferRule = (node, { known }) => {
  const [shape, target] = [shapeOf(node, 0), known(1)?.elements];
  return [target && shape ? broadcastDims([shape, target]) : null];
};

const tile = ofInput((shape, _, { known }) => {
  const times = known(1)?.elements;
  return shape.map((dim, i) => (times ? productDim([dim, times[i]]) : null));
});

const pad = ofInput((shape, node, { known }) => {
  const pads = known(1)?.elements;
  const axes = node.inputs[3] ? numbersOf(known(3)) : [...shape.keys()];
  if (!pads || !axes) return unknown(shape.length);
  const dims = [...shape];
  for (const [i, given] of axes.entries()) {
    const axis = axisOf(given, shape.length);
    const [begin, end] = [pads[i], pads[axes.length + i]];
    const isKnown = typeof begin === "number" && typeof end === "number";
    const total = isKnown ? begin + end : null;
    dims[axis] =
      total === 0 ? dims[axis] : mapDim(dims[axis], (d) => (total === null ? NaN : d + total));
    if (Number.isNaN(dims[axis])) dims[axis] = null;
  }
  return dims;
});

/** x [..., d, ...] and indices [...] -> the axes of the indices in place of d. */
const gather: InferRule = (node) => {
  const [data, index] = [shapeOf(node, 0), shapeOf(node, 1)];
  if (!data || !index) return [null];
  const axis = axisOf(node.int("axis", 0), data.length);
  return [data.toSpliced(axis, 1, ...index)];
};

const gatherND: InferRule = (node) => {
  const [data, index] = [shapeOf(node, 0), shapeOf(node, 1)];
  const depth = index?.at(-1);
  if (!data || !index || typeof depth !== "number") return [null];
  return [[...index.slice(0, -1), ...data.slice(node.int("batch_dims", 0) + depth)]];
};

/** DepthToSpace and SpaceToDepth: channels and sides are multiplied by powers of the block size. */
const blocks = (depthFactor: (b: number) => number, sideFactor: (b: number) => number): InferRule =>
  ofInput(([n, c, ...sides], node) => {
    const b = node.int("blocksize", 1);
    const scale = (dim: Dim, by: number): Dim => mapDim(dim, (size) => size * by);
    return [n, scale(c, depthFactor(b)), ...sides.map((side) => scale(side, sideFactor(b)))];
  });

const centerCropPad = ofInput((shape, node, { known }) => {
  const target = known(1)?.elements;
  const axes = node.ints("axes") ?? [...shape.keys()];
  const dims = [...shape];
  for (const [i, axis] of axes.entries()) dims[axisOf(axis, shape.length)] = target?.[i] ?? null;
  return dims;
});

const compress = ofInput((shape, node) => {
  const axis = node.int("axis");
  return axis === undefined ? [null] : shape.with(axis, null);
});

const oneHot = ofInput((shape, node, { known }) => {
  const axis = axisOf(node.int("axis", -1), shape.length + 1);
  return shape.toSpliced(axis, 0, known(1)?.elements[0] ?? null);
});

const unique: InferRule = (node) => {
  const shape = shapeOf(node, 0);
  const axis = node.int("axis");
  const values = axis === undefined ? [null] : (shape?.with(axis, null) ?? null);
  return [values, [null], [null], [null]];
};

/** The number of elements. Range(0, T, 1) with a symbolic T has T elements. */
const range: InferRule = (_, { known }) => {
  const [start, limit, delta] = [0, 1, 2].map((i) => known(i)?.elements[0] ?? null);
  if (typeof start === "number" && typeof limit === "number" && typeof delta === "number") {
    return [[Math.max(0, Math.ceil((limit - start) / delta))]];
  }
  return [[start === 0 && delta === 1 ? limit : null]];
};

/** The shape is given by the first input's elements. */
const shapeFromElements: InferRule = (_, { known }) => [known(0)?.elements ?? null];

/** The shape is an attribute. */
const shapeFromAttribute: InferRule = (node) => [node.ints("shape") ?? null];

const topK: InferRule = (node, { known }) => {
  const shape = shapeOf(node, 0);
  if (!shape) return [null, null];
  const axis = axisOf(node.int("axis", -1), shape.length);
  const top = shape.with(axis, known(1)?.elements[0] ?? null);
  return [top, top];
};

/**
 * Sizes as given, or floor(dim * scale), or scaled by one common ratio if the aspect ratio is kept.
 */
const resize = ofInput((shape, node, { known }) => {
  const axes = (node.ints("axes") ?? [...shape.keys()]).map((axis) => axisOf(axis, shape.length));
  const [scales, sizes] = [node.inputs[2] && known(2), node.inputs[3] && known(3)];
  const dims: Dim[] = [...shape];
  const policy = node.text("keep_aspect_ratio_policy", "stretch");
  const wanted = numbersOf(sizes);
  if (wanted && policy !== "stretch") {
    const ratios = axes.map((axis, i) => mapDim(shape[axis], (dim) => wanted[i] / dim));
    const numbers = ratios.filter((ratio) => typeof ratio === "number");
    if (numbers.length < ratios.length)
      return dims.map((dim, i) => (axes.includes(i) ? null : dim));
    const scale = policy === "not_larger" ? Math.min(...numbers) : Math.max(...numbers);
    for (const axis of axes) dims[axis] = mapDim(shape[axis], (dim) => Math.round(dim * scale));
    return dims;
  }
  for (const [i, axis] of axes.entries()) {
    const scale = scales?.elements[i] ?? null;
    if (node.inputs[3]) dims[axis] = sizes?.elements[i] ?? null;
    else if (scale !== 1) {
      dims[axis] =
        typeof scale === "number" ? mapDim(dims[axis], (dim) => Math.floor(dim * scale)) : null;
    }
  }
  return dims;
});

export const inferMovement: InferRules = {
  CenterCropPad: centerCropPad,
  Compress: compress,
  Concat: concat,
  ConstantOfShape: shapeFromElements,
  DepthToSpace: blocks(
    (b) => 1 / (b * b),
    (b) => b,
  ),
  Expand: expand,
  Flatten: flatten,
  Gather: gather,
  GatherElements: (node) => [shapeOf(node, 1)],
  GatherND: gatherND,
  NonZero: ofInput((shape) => [shape.length, null]),
  OneHot: oneHot,
  Pad: pad,
  RandomNormal: shapeFromAttribute,
  RandomUniform: shapeFromAttribute,
  Range: range,
  Reshape: reshape,
  Resize: resize,
  Shape: ofInput((shape, node) => [
    shape.slice(node.int("start", 0), node.int("end", shape.length)).length,
  ]),
  Size: () => [[]],
  Slice: slice,
  SpaceToDepth: blocks(
    (b) => b * b,
    (b) => 1 / b,
  ),
  Split: split,
  Squeeze: squeeze,
  Tile: tile,
  TopK: topK,
  Transpose: transpose,
  Unique: unique,
  Unsqueeze: unsqueeze,
};
