/** @file The gradient of a convolution's input, in several forms of equal result. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { blockedConv, fitsBlocked } from "./conv-blocked.ts";
import { endsOf, type Geometry } from "./conv-geometry.ts";
import { product } from "./rule.ts";

/**
 * dX by ConvTranspose, the adjoint of Conv. Inputs that no window reached are its output padding.
 */
export function transposeBack(g: Builder, dy: Value, w: Value, geometry: Geometry): Value {
  const { begins, strides, dilations, group, kernel } = geometry;
  const ends = endsOf(geometry);
  return g.ConvTranspose(dy, w, {
    kernel_shape: kernel,
    strides,
    dilations,
    group,
    pads: [...begins, ...ends.map((end) => Math.max(end, 0))],
    output_padding: ends.map((end) => Math.max(-end, 0)),
  });
}

/**
 * The geometry of the convolution from dY to dX at stride 1, in which inputs and
 * filters are swapped.
 */
function turned(geometry: Geometry): Geometry {
  const { filters, depth, group, kernel, dilations, sides, output, begins } = geometry;
  return {
    ...geometry,
    filters: depth * group,
    depth: filters / group,
    sides: output,
    output: sides,
    begins: begins.map((begin, i) => (kernel[i] - 1) * dilations[i] - begin),
  };
}

/**
 * Whether that convolution has no negative padding: stride 1, and padding smaller than the kernel.
 */
function fitsFlip(geometry: Geometry): boolean {
  const { strides, kernel, dilations, begins } = geometry;
  const ends = endsOf(geometry);
  return kernel.every((k, axis) => {
    const full = (k - 1) * dilations[axis];
    return strides[axis] === 1 && begins[axis] <= full && ends[axis] <= full;
  });
}

/** The kernel reversed along all spatial axes, with inputs and filters swapped. */
function flipped(g: Builder, w: Value, { filters, depth, group, kernel }: Geometry): Value {
  const axes = kernel.map((_, axis) => axis + 2);
  const all = (value: number): Value => g.ints(kernel.map(() => value));
  const isPoint = product(kernel) === 1;
  const around = isPoint ? w : g.Slice(w, all(-1), all(-(2 ** 62)), g.ints(axes), all(-1));
  const perGroup = filters / group;
  const split = g.Reshape(around, g.ints([group, perGroup, depth, ...kernel]));
  const swapped = g.Transpose(split, { perm: [0, 2, 1, ...axes.map((axis) => axis + 1)] });
  return g.Reshape(swapped, g.ints([group * depth, perGroup, ...kernel]));
}

/** dX at stride 1: dY convolved with the reversed kernel. */
function flipBack(g: Builder, dy: Value, w: Value, geometry: Geometry): Value {
  const { group, kernel, dilations } = geometry;
  const { begins, ...back } = turned(geometry);
  return g.Conv(dy, flipped(g, w, geometry), {
    kernel_shape: kernel,
    dilations,
    group,
    pads: [...begins, ...endsOf({ ...back, begins })],
  });
}

/** A form of the gradient: for which sizes it fits, and its nodes. */
interface Form {
  readonly fits: (geometry: Geometry) => boolean;
  readonly make: (g: Builder, dy: Value, w: Value, geometry: Geometry) => Value;
}

const blocked = (block: number): Form => ({
  fits: (geometry) => fitsFlip(geometry) && fitsBlocked(turned(geometry), block),
  make: (g, dy, w, geometry) =>
    blockedConv(g, dy, flipped(g, w, geometry), null, turned(geometry), block),
});

/** All forms of dX, by the names that choices are saved under. */
export const inputForms = {
  transpose: { fits: () => true, make: transposeBack },
  flip: { fits: fitsFlip, make: flipBack },
  blocked16: blocked(16),
  blocked8: blocked(8),
} as const satisfies Record<string, Form>;
export type InputForm = keyof typeof inputForms;

/**
 * The form that is usually fastest, by measurements: "flip" from 16 channels on and for grouped
 * channels, unless the input is larger than the output, since its work grows with the input (5x5,
 * 12x12 -> 8x8: flip 20.0 ms, transpose 8.0, forward 7.8).
 */
export function defaultInputForm(geometry: Geometry): InputForm {
  const { depth, group, sides, output } = geometry;
  const isFlat = product(sides) <= 1.25 * product(output);
  const pays = isFlat && (depth * group >= 16 || group > 1);
  return pays && fitsFlip(geometry) ? "flip" : "transpose";
}
