/** @file Gradients of pools over windows. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { extentOf, padding, type Window, windowOf } from "../window.ts";
import type { Geometry } from "./conv-geometry.ts";
import { transposeBack } from "./conv-input.ts";
import {
  type GradNode,
  type GradRules,
  mask,
  type OneRule,
  product,
  reshapeLike,
  scalar,
  sizesOf,
  unsupported,
  zerosLike,
} from "./rule.ts";

interface Pool {
  readonly window: Window;
  readonly sides: readonly number[];
  readonly output: readonly number[];
  readonly pads: readonly (readonly [number, number])[];
}

/** The window and sizes of a pool. Throws TersorError "no-gradient" for unknown sizes. */
function poolOf(node: GradNode): Pool {
  const window = windowOf(node, node.ints("kernel_shape") ?? []);
  const sides = sizesOf(node.inputs[0], node, 2);
  const pads = sides.map((dim, axis) => padding(window, axis, dim));
  return { window, sides, output: sizesOf(node.output, node, 2), pads };
}

/** Whether every element of x belongs to exactly one window. */
function tiles({ window, sides, output, pads }: Pool): boolean {
  const { kernel, strides, dilations } = window;
  return sides.every(
    (dim, axis) =>
      kernel[axis] === strides[axis] &&
      dilations[axis] === 1 &&
      pads[axis][0] === 0 &&
      output[axis] * kernel[axis] === dim,
  );
}

/**
 * If windows tile x: dx = is up(dy / ties) with is = (x == up(y)), up repeating each element over
 * its window, which is faster than by indices. Equal maxima share dy: a plain background, also
 * behind a Relu, gives whole windows of them. Otherwise dy is added where the indices point.
 */
const maxPool: OneRule = (g, dy, node) => {
  const [x] = node.inputs;
  const pool = poolOf(node);
  if (tiles(pool)) {
    const scales = g.constant([1, 1, ...pool.window.kernel], { name: "scales" });
    const up = (small: Value): Value =>
      g.Resize(small, null, scales, {
        mode: "nearest",
        coordinate_transformation_mode: "asymmetric",
        nearest_mode: "floor",
      });
    const is = mask(g, g.Equal(x, up(node.output)), x);
    const { kernel, strides } = pool.window;
    const share = g.AveragePool(is, { kernel_shape: kernel, strides });
    const part = g.Div(dy, g.Mul(share, scalar(g, x, product(kernel))));
    return [g.Mul(is, up(part))];
  }
  if (node.int("storage_order", 0) === 1) throw unsupported(node, "storage_order 1");
  const { kernel, strides, dilations, isCeil } = pool.window;
  const pads = [...pool.pads.map(([begin]) => begin), ...pool.pads.map(([, end]) => end)];
  const attributes = {
    kernel_shape: kernel,
    strides,
    dilations,
    pads,
    ceil_mode: isCeil ? 1 : 0,
  };
  const [, places] = g.many("MaxPool", [x], { outputs: 2, attributes });
  const flat = g.ints([-1], "flat");
  const zeros = g.Reshape(zerosLike(g, x), flat);
  const [at, what] = [places, dy].map((value) => g.Reshape(value, flat));
  return [reshapeLike(g, g.ScatterElements(zeros, at, what, { reduction: "add" }), x)];
};

/** For each position of an axis, how many elements its window averages. */
function countsAlong(
  { window, sides, output, pads }: Pool,
  axis: number,
  padded: boolean,
): number[] {
  const [begin, end] = pads[axis];
  const [low, high] = padded ? [-begin, sides[axis] + end] : [0, sides[axis]];
  return Array.from({ length: output[axis] }, (_, position) => {
    const start = position * window.strides[axis] - begin;
    let count = 0;
    for (let k = 0; k < extentOf(window, axis); k += window.dilations[axis]) {
      if (start + k >= low && start + k < high) count++;
    }
    return count;
  });
}

/**
 * dy divided by each window's count, spread over the window by a depthwise transposed
 * convolution with ones.
 */
const averagePool: OneRule = (g, dy, node) => {
  const [x] = node.inputs;
  const [channels] = sizesOf(x, node, 1);
  const pool = poolOf(node);
  const { kernel, strides, dilations } = pool.window;
  const isPadded = node.int("count_include_pad", 0) === 1;
  const part = kernel.reduce((rest, _, axis) => {
    const counts = countsAlong(pool, axis, isPadded);
    const shape = [counts.length, ...new Array<number>(kernel.length - 1 - axis).fill(1)];
    return divide(g, rest, counts, shape);
  }, dy);
  const geometry: Geometry = {
    batch: null,
    filters: channels,
    depth: 1,
    kernel,
    strides,
    dilations,
    group: channels,
    sides: pool.sides,
    output: pool.output,
    begins: pool.pads.map(([begin]) => begin),
  };
  const dtype = x.dtype ?? "float32";
  const ones = new Array<number>(channels * product(kernel)).fill(1);
  const w = g.constant(ones, { dtype, shape: [channels, 1, ...kernel], name: "ones" });
  return [transposeBack(g, part, w, geometry)];
};

function divide(g: Builder, x: Value, by: readonly number[], shape: readonly number[]): Value {
  const inverse = by.map((count) => 1 / count);
  return g.Mul(x, g.constant(inverse, { dtype: x.dtype ?? "float32", shape, name: "counts" }));
}

export const pools = { MaxPool: maxPool, AveragePool: averagePool } satisfies GradRules;
