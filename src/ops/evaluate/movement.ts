/** @file Evaluation of operators that move elements unchanged: reshape, slice, join, repeat. */
import { errors, fail } from "../../errors.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import {
  asTensor,
  axisOf,
  broadcastPositions,
  broadcastShape,
  type EvaluateRule,
  type EvaluateRules,
  eachCoordinate,
  elements,
  list,
  optional,
  pick,
  positions,
  product,
  type Shape,
  store,
  stridesOf,
} from "./elements.ts";

const identity: EvaluateRule = ([x]) => x;

/**
 * The shape that a Reshape gives: 0 copies the input's size (unless `allowZero`), -1
 * takes what is left.
 */
export function reshapeTo(shape: Shape, target: Shape, allowZero: boolean): number[] {
  const kept = target.map((dim, i) => (dim === 0 && !allowZero ? shape[i] : dim));
  const rest = product(kept.filter((dim) => dim >= 0));
  return kept.map((dim) => (dim < 0 ? (rest === 0 ? 0 : product(shape) / rest) : dim));
}

const reshape: EvaluateRule = ([x, target], node) => {
  const shape = reshapeTo(x.shape, list(target), node.int("allowzero", 0) === 1);
  if (product(shape) !== x.size) {
    const why = `cannot reshape [${x.shape}] to [${list(target)}]`;
    throw fail(errors.badOperands(node.name, why));
  }
  return x.reshape(shape);
};

const flatten: EvaluateRule = ([x], node) => {
  const axis = axisOf(node.int("axis", 1), x.shape.length);
  return x.reshape([product(x.shape.slice(0, axis)), product(x.shape.slice(axis))]);
};

const squeeze: EvaluateRule = (inputs) => {
  const { shape } = inputs[0];
  const given = optional(inputs, 1);
  const axes = given && list(given).map((axis) => axisOf(axis, shape.length));
  return inputs[0].reshape(shape.filter((dim, axis) => (axes ? !axes.includes(axis) : dim !== 1)));
};

const unsqueeze: EvaluateRule = ([x, given]) => {
  const rank = x.shape.length + given.size;
  const axes = list(given).map((axis) => axisOf(axis, rank));
  const dims = [...x.shape];
  return x.reshape(
    Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : (dims.shift() as number))),
  );
};

/** x with its axes in another order. */
export function transposed(x: Tensor, order: readonly number[]): Tensor {
  const strides = stridesOf(x.shape);
  const shape = order.map((axis) => x.shape[axis]);
  return pick(
    x,
    shape,
    positions(
      shape,
      order.map((axis) => strides[axis]),
    ),
  );
}

const transpose: EvaluateRule = ([x], node) =>
  transposed(x, node.ints("perm") ?? x.shape.map((_, axis) => x.shape.length - 1 - axis));

/**
 * Slice along one axis: the first index, and how many there are, after clamping as ONNX defines.
 */
export function sliceRange(
  dim: number,
  start: number,
  end: number,
  step: number,
): { first: number; count: number } {
  const clamp = (index: number, low: number, high: number): number =>
    Math.min(Math.max(index < 0 ? index + dim : index, low), high);
  const [low, high] = step > 0 ? [0, dim] : [-1, dim - 1];
  const first = clamp(start, Math.max(low, 0), high);
  const last = clamp(end, low, high);
  return { first, count: Math.max(0, Math.ceil((last - first) / step)) };
}

const slice: EvaluateRule = (inputs) => {
  const [x, starts, ends] = inputs;
  const rank = x.shape.length;
  const given = optional(inputs, 3);
  const axes = given ? list(given).map((axis) => axisOf(axis, rank)) : [...list(starts).keys()];
  const steps = optional(inputs, 4);
  const strides = stridesOf(x.shape);
  const shape = [...x.shape];
  let offset = 0;
  for (const [i, axis] of axes.entries()) {
    const step = steps ? list(steps)[i] : 1;
    const { first, count } = sliceRange(x.shape[axis], list(starts)[i], list(ends)[i], step);
    offset += first * strides[axis];
    strides[axis] *= step;
    shape[axis] = count;
  }
  return pick(x, shape, positions(shape, strides, offset));
};

/** The parts joined along an axis. */
export function concat(parts: readonly Tensor[], given: number): Tensor {
  const { dtype, shape: first } = parts[0];
  const axis = axisOf(given, first.length);
  const shape = first.with(
    axis,
    parts.reduce((sum, part) => sum + part.shape[axis], 0),
  );
  const strides = stridesOf(shape);
  const result = store(dtype, product(shape));
  let offset = 0;
  for (const part of parts) {
    const from = elements(part);
    const to = positions(part.shape, strides, offset);
    for (let i = 0; i < to.length; i++) result[to[i]] = from[i];
    offset += part.shape[axis] * strides[axis];
  }
  return asTensor(dtype, shape, result);
}

/** The sizes of Split's parts: as given, or equal with a smaller last one. */
export function splitSizes(dim: number, given: readonly number[] | null, count: number): number[] {
  if (given) return [...given];
  const size = Math.ceil(dim / count);
  return Array.from({ length: count }, (_, i) => Math.max(0, Math.min(size, dim - i * size)));
}

const split: EvaluateRule = (inputs, node) => {
  const [x] = inputs;
  const axis = axisOf(node.int("axis", 0), x.shape.length);
  const given = optional(inputs, 1);
  const strides = stridesOf(x.shape);
  let start = 0;
  return splitSizes(x.shape[axis], given && list(given), node.outputs.length).map((size) => {
    const shape = x.shape.with(axis, size);
    const part = pick(x, shape, positions(shape, strides, start * strides[axis]));
    start += size;
    return part;
  });
};

const expand: EvaluateRule = ([x, target], node) => {
  const shape = broadcastShape(node.name, x.shape, list(target));
  return pick(x, shape, broadcastPositions(x.shape, shape));
};

const tile: EvaluateRule = ([x, repeats]) => {
  const times = list(repeats);
  const strides = stridesOf(x.shape);
  const shape = x.shape.map((dim, axis) => dim * times[axis]);
  const index = new Int32Array(product(shape));
  eachCoordinate(shape, (at, flat) => {
    index[flat] = at.reduce((sum, c, axis) => sum + (c % x.shape[axis]) * strides[axis], 0);
  });
  return pick(x, shape, index);
};

/** The index from which position i of a padded axis is copied; -1 for the pad value. */
export function padSource(i: number, dim: number, mode: string): number {
  if (mode === "edge") return Math.min(Math.max(i, 0), dim - 1);
  if (mode === "wrap") return ((i % dim) + dim) % dim;
  if (mode === "reflect") {
    if (dim === 1) return 0;
    const period = 2 * (dim - 1);
    const folded = ((i % period) + period) % period;
    return folded < dim ? folded : period - folded;
  }
  return i >= 0 && i < dim ? i : -1;
}

const pad: EvaluateRule = (inputs, node) => {
  const [x, given] = inputs;
  const rank = x.shape.length;
  const chosen = optional(inputs, 3);
  const axes = chosen ? list(chosen).map((axis) => axisOf(axis, rank)) : x.shape.map((_, i) => i);
  const amounts = list(given);
  const before = new Array<number>(rank).fill(0);
  const shape = [...x.shape];
  for (const [i, axis] of axes.entries()) {
    before[axis] = amounts[i];
    shape[axis] += amounts[i] + amounts[axes.length + i];
  }
  const mode = node.text("mode", "constant");
  const strides = stridesOf(x.shape);
  const index = new Int32Array(product(shape));
  eachCoordinate(shape, (at, flat) => {
    let position = 0;
    for (let axis = 0; axis < rank && position >= 0; axis++) {
      const source = padSource(at[axis] - before[axis], x.shape[axis], mode);
      position = source < 0 ? -1 : position + source * strides[axis];
    }
    index[flat] = position;
  });
  return pick(x, shape, index, optional(inputs, 2));
};

/** Keeps a triangle of the last two axes and sets the rest to zero. */
const trilu: EvaluateRule = (inputs, node) => {
  const [x] = inputs;
  const k = Number(optional(inputs, 1)?.numbers()[0] ?? 0);
  const upper = node.int("upper", 1) === 1;
  const index = new Int32Array(x.size);
  eachCoordinate(x.shape, (at, flat) => {
    const above = (at.at(-1) as number) - (at.at(-2) as number);
    index[flat] = (upper ? above >= k : above <= k) ? flat : -1;
  });
  return pick(x, x.shape, index);
};

/**
 * Moves channels into b x b blocks of space. In mode DCR channels are [block, block, C], in CRD
 * [C, block, block].
 */
const depthToSpace: EvaluateRule = ([x], node) => {
  const b = node.int("blocksize", 1);
  const [n, c, h, w] = x.shape;
  const depth = c / (b * b);
  const result = [n, depth, h * b, w * b];
  if (node.text("mode", "DCR") === "DCR") {
    return transposed(x.reshape([n, b, b, depth, h, w]), [0, 3, 4, 1, 5, 2]).reshape(result);
  }
  return transposed(x.reshape([n, depth, b, b, h, w]), [0, 1, 4, 2, 5, 3]).reshape(result);
};

const spaceToDepth: EvaluateRule = ([x], node) => {
  const b = node.int("blocksize", 1);
  const [n, c, h, w] = x.shape;
  const blocks = x.reshape([n, c, h / b, b, w / b, b]);
  return transposed(blocks, [0, 3, 5, 1, 2, 4]).reshape([n, c * b * b, h / b, w / b]);
};

/** Reverses the first lengths[n] time steps of each sequence n. */
const reverseSequence: EvaluateRule = ([x, lengths], node) => {
  const [batch, time] = [node.int("batch_axis", 1), node.int("time_axis", 0)];
  const lens = list(lengths);
  const strides = stridesOf(x.shape);
  const index = new Int32Array(x.size);
  eachCoordinate(x.shape, (at, flat) => {
    const length = lens[at[batch]];
    const t = at[time];
    index[flat] = flat + (t < length ? (length - 1 - 2 * t) * strides[time] : 0);
  });
  return pick(x, x.shape, index);
};

/** Crops or pads each axis around its centre to the target size. */
const centerCropPad: EvaluateRule = ([x, target], node) => {
  const rank = x.shape.length;
  const axes = (node.ints("axes") ?? x.shape.map((_, i) => i)).map((axis) => axisOf(axis, rank));
  const shape = [...x.shape];
  for (const [i, axis] of axes.entries()) shape[axis] = list(target)[i];
  const shift = shape.map((dim, axis) => {
    const extra = x.shape[axis] - dim;
    return extra >= 0 ? Math.floor(extra / 2) : -Math.floor(-extra / 2);
  });
  const strides = stridesOf(x.shape);
  const index = new Int32Array(product(shape));
  eachCoordinate(shape, (at, flat) => {
    const inside = at.every((c, i) => c + shift[i] >= 0 && c + shift[i] < x.shape[i]);
    index[flat] = inside ? at.reduce((sum, c, i) => sum + (c + shift[i]) * strides[i], 0) : -1;
  });
  return pick(x, shape, index);
};

export const movement = {
  CenterCropPad: centerCropPad,
  Concat: (inputs, node) => concat(inputs, node.int("axis", 0)),
  DepthToSpace: depthToSpace,
  Expand: expand,
  Flatten: flatten,
  Identity: identity,
  Pad: pad,
  Reshape: reshape,
  ReverseSequence: reverseSequence,
  Shape: ([x], node) => {
    const dims = x.shape.slice(node.int("start", 0), node.int("end", x.shape.length));
    return tensor("int64", [dims.length], dims);
  },
  Size: ([x]) => tensor("int64", [], x.size),
  Slice: slice,
  SpaceToDepth: spaceToDepth,
  Split: split,
  Squeeze: squeeze,
  Tile: tile,
  Transpose: transpose,
  Trilu: trilu,
  Unsqueeze: unsqueeze,
} satisfies EvaluateRules;
