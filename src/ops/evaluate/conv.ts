/** @file Evaluation of convolutions and transposed convolutions, in any number of dimensions. */
import { errors, fail } from "../../errors.ts";
import { tensor } from "../../ir/tensor.ts";
import { padding, transposedAxis, type Window, windowCount, windowOf } from "../window.ts";
import {
  type EvaluateRule,
  type EvaluateRules,
  eachCoordinate,
  optional,
  product,
  type Shape,
  stridesOf,
} from "./elements.ts";
import { spend } from "./work.ts";

/** Steps that a tap counts as: its coordinates are an array. */
const TAP = 64;

import { type Array64, array64 } from "./linear.ts";

/**
 * Where each kernel tap reads in a channel: entry [position * taps + tap] is the flat
 * position in `input`, or -1 in the padding. Both shapes are spatial; `begins` is the padding
 * in front of each axis.
 */
export function tapTable(
  input: Shape,
  output: Shape,
  { kernel, strides, dilations }: Pick<Window, "kernel" | "strides" | "dilations">,
  begins: readonly number[],
): Int32Array {
  const steps = stridesOf(input);
  product([...output, ...kernel]);
  spend(TAP * product(kernel));
  const taps: number[][] = [];
  eachCoordinate(kernel, (at) => taps.push(at.map((k, axis) => k * dilations[axis])));
  const table = new Int32Array(product(output) * taps.length);
  eachCoordinate(output, (at, position) => {
    for (const [t, tap] of taps.entries()) {
      let flat = 0;
      for (let axis = 0; axis < input.length; axis++) {
        const i = at[axis] * strides[axis] - begins[axis] + tap[axis];
        if (i < 0 || i >= input[axis]) {
          flat = -1;
          break;
        }
        flat += i * steps[axis];
      }
      table[position * taps.length + t] = flat;
    }
  });
  return table;
}

/** The output's spatial shape and the padding in front, for a window over `sides`. */
export function slide(window: Window, sides: Shape): { output: number[]; begins: number[] } {
  return {
    output: sides.map((dim, axis) => windowCount(window, axis, dim)),
    begins: sides.map((dim, axis) => padding(window, axis, dim)[0]),
  };
}

/**
 * y[n, m, p] = sum_{c, t} x[n, group(m) + c, p stride + t dilation - pad] w[m, c, t], with x [N,
 * C, ...sides] and w [M, C / groups, ...kernel]. Throws TersorError "bad-operands" if channels do
 * not fit the groups.
 */
export function convolve(
  x: Array64,
  w: Array64,
  node: Parameters<typeof windowOf>[0],
): Array64 & { readonly values: Float64Array } {
  const [batch, channels, ...sides] = x.shape;
  const [filters, depth, ...kernel] = w.shape;
  const groups = node.int("group", 1);
  if (depth * groups !== channels || filters % groups !== 0) {
    const why = `weight [${w.shape}] in ${groups} groups does not fit input [${x.shape}]`;
    throw fail(errors.badOperands(node.name, why));
  }
  const window = windowOf(node, kernel);
  const { output, begins } = slide(window, sides);
  const table = tapTable(sides, output, window, begins);
  const [area, size, taps] = [product(output), product(sides), product(kernel)];
  spend(product([batch, filters, area]) * depth * taps);
  const values = new Float64Array(batch * filters * area);
  const perGroup = filters / groups;
  for (let n = 0; n < batch; n++) {
    for (let m = 0; m < filters; m++) {
      const first = n * channels + Math.floor(m / perGroup) * depth;
      const to = (n * filters + m) * area;
      for (let c = 0; c < depth; c++) {
        const from = (first + c) * size;
        const weights = (m * depth + c) * taps;
        for (let p = 0, k = 0; p < area; p++) {
          let sum = 0;
          for (let t = 0; t < taps; t++, k++) {
            if (table[k] >= 0) sum += x.values[from + table[k]] * w.values[weights + t];
          }
          values[to + p] += sum;
        }
      }
    }
  }
  return { shape: [batch, filters, ...output], values };
}

/** Adds bias[m] to every element of channel m, in place. */
function addBias(y: { shape: Shape; values: Float64Array }, bias: ArrayLike<number> | null): void {
  if (!bias) return;
  const area = product(y.shape.slice(2));
  for (let i = 0; i < y.values.length; i++) {
    y.values[i] += bias[Math.floor(i / area) % y.shape[1]];
  }
}

const conv: EvaluateRule = (inputs, node) => {
  const [x, w] = inputs;
  const y = convolve(array64(x), array64(w), node);
  addBias(y, optional(inputs, 2)?.numbers() ?? null);
  return tensor(x.dtype, y.shape, y.values);
};

/**
 * The adjoint of a convolution: each element of x is added, times the kernel, to the window that
 * would have read it.
 */
const convTranspose: EvaluateRule = (inputs, node) => {
  const [x, w] = inputs;
  const [batch, channels, ...sides] = x.shape;
  const [, depth, ...kernel] = w.shape;
  const groups = node.int("group", 1);
  const window = windowOf(node, kernel);
  const axes = sides.map((dim, axis) => transposedAxis(node, window, axis, dim));
  const output = axes.map(({ size }) => size);
  const table = tapTable(
    output,
    sides,
    window,
    axes.map(({ begin }) => begin),
  );
  const [area, size, taps] = [product(output), product(sides), product(kernel)];
  const filters = depth * groups;
  spend(product([batch, filters, area]) + product([batch, channels, size]) * depth * taps);
  const values = new Float64Array(batch * filters * area);
  const [from, weights] = [x.numbers(), w.numbers()];
  const perGroup = channels / groups;
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < channels; c++) {
      const firstFilter = n * filters + Math.floor(c / perGroup) * depth;
      for (let m = 0; m < depth; m++) {
        const to = (firstFilter + m) * area;
        for (let p = 0, k = 0; p < size; p++) {
          const value = from[(n * channels + c) * size + p];
          for (let t = 0; t < taps; t++, k++) {
            if (table[k] >= 0) values[to + table[k]] += value * weights[(c * depth + m) * taps + t];
          }
        }
      }
    }
  }
  const y = { shape: [batch, filters, ...output], values };
  addBias(y, optional(inputs, 2)?.numbers() ?? null);
  return tensor(x.dtype, y.shape, values);
};

/** The adjoint of cutting an image into windows: columns are added back where they were cut. */
const col2Im: EvaluateRule = ([x, image, block], node) => {
  const sides = Array.from(image.numbers());
  const window = windowOf(node, Array.from(block.numbers()));
  const { output, begins } = slide(window, sides);
  const table = tapTable(sides, output, window, begins);
  const [area, size, taps] = [product(output), product(sides), product(window.kernel)];
  const [batch, rows] = x.shape;
  const channels = rows / taps;
  spend(product([batch, channels, size]) + batch * channels * area * taps);
  const values = new Float64Array(batch * channels * size);
  const from = x.numbers();
  for (let nc = 0; nc < batch * channels; nc++) {
    for (let p = 0; p < area; p++) {
      for (let t = 0; t < taps; t++) {
        const to = table[p * taps + t];
        if (to >= 0) values[nc * size + to] += from[(nc * taps + t) * area + p];
      }
    }
  }
  return tensor(x.dtype, [batch, channels, ...sides], values);
};

export const convolutions = {
  Col2Im: col2Im,
  Conv: conv,
  ConvTranspose: convTranspose,
} satisfies EvaluateRules;
