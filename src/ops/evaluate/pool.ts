/** @file Evaluation of pools: the maximum, mean or norm of each window. */
import type { Node } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { extentOf, transposedAxis, type Window, windowOf } from "../window.ts";
import { slide, tapTable } from "./conv.ts";
import {
  type EvaluateRule,
  type EvaluateRules,
  eachCoordinate,
  list,
  optional,
  product,
} from "./elements.ts";
import { spend } from "./work.ts";

/** A pool's sizes, and where its windows read. */
interface Pooled {
  readonly shape: readonly number[];
  /** Number of window positions, taps of a window, and elements of a plane. */
  readonly area: number;
  readonly taps: number;
  readonly size: number;
  readonly planes: number;
  readonly table: Int32Array;
  readonly window: Window;
  readonly output: readonly number[];
  readonly begins: readonly number[];
}

function prepare(x: Tensor, node: Node): Pooled {
  const [batch, channels, ...sides] = x.shape;
  const window = windowOf(node, node.ints("kernel_shape") ?? sides);
  const { output, begins } = slide(window, sides);
  spend(product([batch, channels, ...output]) * product(window.kernel));
  return {
    shape: [batch, channels, ...output],
    area: product(output),
    taps: product(window.kernel),
    size: product(sides),
    planes: batch * channels,
    table: tapTable(sides, output, window, begins),
    window,
    output,
    begins,
  };
}

/**
 * Combines the elements of each window with `take`, from `start` on. `finish` gets the number of
 * taps inside the input, without padding.
 */
function fold(
  x: Tensor,
  pooled: Pooled,
  start: number,
  take: (sum: number, value: number) => number,
  finish: (sum: number, inside: number, position: number) => number,
): Tensor {
  const { area, taps, size, planes, table, shape } = pooled;
  const from = x.numbers();
  const values = new Float64Array(planes * area);
  for (let i = 0; i < values.length; i++) {
    const [plane, position] = [Math.floor(i / area), i % area];
    let sum = start;
    let inside = 0;
    for (let t = 0; t < taps; t++) {
      const at = table[position * taps + t];
      if (at < 0) continue;
      sum = take(sum, from[plane * size + at]);
      inside++;
    }
    values[i] = finish(sum, inside, position);
  }
  return tensor(x.dtype, shape, values);
}

const averagePool: EvaluateRule = ([x], node) => {
  const pooled = prepare(x, node);
  const countsPadding = node.int("count_include_pad", 0) === 1;
  const counts = countsPadding ? paddedCounts(x, pooled) : null;
  return fold(
    x,
    pooled,
    0,
    (sum, value) => sum + value,
    (sum, inside, position) => sum / (counts?.[position] ?? inside),
  );
};

/**
 * For each window, how many taps lie in the input or its padding. With ceil_mode the last window
 * may reach beyond both.
 */
function paddedCounts(x: Tensor, { window, output, begins }: Pooled): number[] {
  const sides = x.shape.slice(2);
  const counts: number[] = [];
  const rank = sides.length;
  eachCoordinate(output, (at) => {
    let count = 1;
    for (let axis = 0; axis < rank; axis++) {
      const start = at[axis] * window.strides[axis] - begins[axis];
      const end = window.autoPad === "NOTSET" ? window.pads[axis + rank] : extentOf(window, axis);
      let taps = 0;
      for (let k = 0; k < window.kernel[axis]; k++) {
        if (start + k * window.dilations[axis] < sides[axis] + end) taps++;
      }
      count *= taps;
    }
    counts.push(count);
  });
  return counts;
}

const maxPool: EvaluateRule = ([x], node) => {
  const pooled = prepare(x, node);
  const { area, taps, size, planes, table, shape } = pooled;
  const from = x.numbers();
  const values = new Float64Array(planes * area);
  const places = new Array<number>(values.length);
  const sides = x.shape.slice(2);
  const isColumnMajor = node.int("storage_order", 0) === 1;
  for (let i = 0; i < values.length; i++) {
    const [plane, position] = [Math.floor(i / area), i % area];
    let best = -1;
    for (let t = 0; t < taps; t++) {
      const at = table[position * taps + t];
      if (at >= 0 && (best < 0 || from[plane * size + at] > from[plane * size + best])) best = at;
    }
    values[i] = best < 0 ? -Infinity : from[plane * size + best];
    places[i] = plane * size + (isColumnMajor ? columnMajor(best, sides) : best);
  }
  return [tensor(x.dtype, shape, values), tensor("int64", shape, places)];
};

/** A row-major position as a column-major one (storage_order 1). */
function columnMajor(flat: number, sides: readonly number[]): number {
  let [rest, result] = [flat, 0];
  const at = sides.toReversed().map((dim) => {
    const c = rest % dim;
    rest = Math.floor(rest / dim);
    return c;
  });
  for (const [i, c] of at.entries()) result = result * sides[sides.length - 1 - i] + c;
  return result;
}

const lpPool: EvaluateRule = ([x], node) => {
  const p = node.int("p", 2);
  return fold(
    x,
    prepare(x, node),
    0,
    (sum, value) => sum + Math.abs(value) ** p,
    (sum) => sum ** (1 / p),
  );
};

/** A single window over all positions. */
function globalPool(reduce: (values: Float64Array, node: Node) => number): EvaluateRule {
  return ([x], node) => {
    const [batch, channels, ...sides] = x.shape;
    const size = product(sides);
    const from = Float64Array.from(x.numbers());
    const values = Float64Array.from({ length: batch * channels }, (_, i) =>
      reduce(from.subarray(i * size, (i + 1) * size), node),
    );
    return tensor(x.dtype, [batch, channels, ...sides.map(() => 1)], values);
  };
}

/** Puts pooled values back where the maxima were, zeros elsewhere. */
const maxUnpool: EvaluateRule = (inputs, node) => {
  const [x, index] = inputs;
  const [batch, channels, ...sides] = x.shape;
  const window = windowOf(node, node.ints("kernel_shape") ?? sides);
  const natural = sides.map((dim, axis) => transposedAxis(node, window, axis, dim).size);
  const given = optional(inputs, 2);
  const shape = given ? list(given) : [batch, channels, ...natural];
  const values = new Float64Array(product(shape));
  const [from, places] = [x.numbers(), index.numbers()];
  // Indices count in the natural output, which may be smaller than the requested one.
  const plain = [batch, channels, ...natural];
  for (let i = 0; i < from.length; i++) {
    let [rest, position, step] = [places[i], 0, 1];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += (rest % plain[axis]) * step;
      rest = Math.floor(rest / plain[axis]);
      step *= shape[axis];
    }
    values[position] = from[i];
  }
  return tensor(x.dtype, shape, values);
};

export const pools = {
  AveragePool: averagePool,
  GlobalAveragePool: globalPool((v) => v.reduce((a, b) => a + b, 0) / v.length),
  GlobalLpPool: globalPool((v, node) => {
    const p = node.int("p", 2);
    return v.reduce((sum, x) => sum + Math.abs(x) ** p, 0) ** (1 / p);
  }),
  GlobalMaxPool: globalPool((v) => v.reduce((a, b) => Math.max(a, b), -Infinity)),
  LpPool: lpPool,
  MaxPool: maxPool,
  MaxUnpool: maxUnpool,
} satisfies EvaluateRules;
