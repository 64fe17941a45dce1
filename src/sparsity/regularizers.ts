/** @file Regularizers: terms of the loss that drive single weights or groups of them to zero. */
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import type { WeightRole } from "../ops/weights.ts";
import { product } from "../util/product.ts";
import type { Site } from "./by-score.ts";

/**
 * What a regularizer drives to zero together: one weight; all weights of one output (filter), of
 * one input (channel), of one input at one kernel position (shape), or of the layer.
 */
export type Unit = "weight" | "filter" | "channel" | "shape" | "layer";

/** The axes of the weight along which a unit extends; the other axes count units. */
const extents: Readonly<Record<Unit, (role: WeightRole, rank: number) => number[]>> = {
  weight: () => [],
  filter: ({ outputAxis }, rank) => range(rank).filter((axis) => axis !== outputAxis),
  channel: ({ inputAxis }, rank) => range(rank).filter((axis) => axis !== inputAxis),
  shape: ({ outputAxis }) => [outputAxis],
  layer: (_, rank) => range(rank),
};

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/**
 * The axes along which a unit of this layer extends. A reason for parts of forms, and for channels
 * and shapes of grouped convolutions, where one index of the axis is another input in each group.
 */
export function extentOf(unit: Unit, { role, weight }: Site): number[] | string {
  if (unit === "weight") return [];
  if (!role) return "stores a part of a form, which has no filters";
  const isGrouped = role.groups > 1 && (unit === "channel" || unit === "shape");
  if (isGrouped) return "is a grouped convolution, whose filters read different inputs";
  return extents[unit](role, weight.shape.length);
}

export interface Regularizer {
  readonly unit: Unit;
  /** Default factor of the penalty in the loss. */
  readonly strength: number;
  /** The penalty of one layer's weight `w`, a scalar. A unit has `size` weights along `axes`. */
  readonly penalty: (g: Builder, w: Value, axes: readonly number[], size: number) => Value;
  /** Shown in the help of the option `regularizer`. */
  readonly doc: string;
}

const sum = (g: Builder, x: Value): Value => g.ReduceSum(x, null, { keepdims: 0 });

/**
 * The root mean square of each unit. 1e-12 is added under the root, whose slope at 0 is infinite.
 */
function norms(g: Builder, w: Value, axes: readonly number[], size: number): Value {
  const squares = g.ReduceSumSquare(w, g.ints(axes, "axes"), { keepdims: 0 });
  return g.Sqrt(g.Add(g.Div(squares, g.constant(size)), g.constant(1e-12)));
}

/**
 * Group lasso: sum over units of size * rms = sum of sqrt(size) |w_unit|, the weights of groups by
 * Yuan, Lin 2006.
 */
const lasso: Regularizer["penalty"] = (g, w, axes, size) =>
  g.Mul(sum(g, norms(g, w, axes, size)), g.constant(size));

const lassoOver = (unit: Unit, doc: string): Regularizer => ({
  unit,
  strength: 1e-4,
  penalty: lasso,
  doc: `group lasso over ${doc} (SSL, Wen et al. 2016, arXiv 1608.03665)`,
});

/** All regularizers over weights, by the value of the option. */
export const regularizers = {
  l1: {
    unit: "weight",
    strength: 1e-4,
    penalty: (g, w) => sum(g, g.Abs(w)),
    doc: "sum of |w|",
  },
  /**
   * Weight decay with a bias towards zeros: the slope 2 w / (1 + w^2)^2 is large for small weights
   * and vanishes for large ones.
   */
  decay: {
    unit: "weight",
    strength: 1e-4,
    penalty(g, w) {
      const square = g.Mul(w, w);
      return sum(g, g.Div(square, g.Add(square, g.constant(1))));
    },
    doc: "sum of w^2 / (1 + w^2) (Hanson, Pratt 1989)",
  },
  filters: lassoOver("filter", "filters and neurons"),
  channels: lassoOver("channel", "input channels"),
  shapes: lassoOver("shape", "inputs at each kernel position"),
  layers: lassoOver("layer", "whole layers, where shortcuts can replace them"),
  /**
   * The truncated group lasso: sum of size * min(rms, t), t = the mean of all rms of the layer. t
   * counts as a constant of each step: if slopes flowed through the mean, every unit would be
   * pressed, the large ones too. The terms size * t of the large units are constants then, and are
   * left out.
   */
  damage: {
    unit: "shape",
    strength: 1e-4,
    penalty(g, w, axes, size) {
      const all = norms(g, w, axes, size);
      // A cast from truth values has no slope.
      const isSmall = g.Cast(g.LessOrEqual(all, g.ReduceMean(all)), { to: dtypes.float32.code });
      return g.Mul(sum(g, g.Mul(all, isSmall)), g.constant(size));
    },
    doc: "group brain damage: as shapes, but only units up to the layer's mean are penalized (after Lebedev, Lempitsky 2016, arXiv 1506.02515)",
  },
} as const satisfies Record<string, Regularizer>;

/**
 * `places[i]` is the unit of element i, `sizes[u]` the root mean square of unit u. `axes` are those
 * along which a unit extends.
 */
export function unitsOf(
  { weight: { shape, values } }: Site,
  axes: readonly number[],
): { readonly places: Int32Array; readonly sizes: Float32Array } {
  const strides = shape.map((_, axis) => product(shape.slice(axis + 1)));
  const places = new Int32Array(values.length);
  let units = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (axes.includes(axis)) continue;
    for (let i = 0; i < places.length; i++) {
      places[i] += (Math.floor(i / strides[axis]) % shape[axis]) * units;
    }
    units *= shape[axis];
  }
  const squares = new Float64Array(units);
  for (const [i, w] of values.entries()) squares[places[i]] += (w * w * units) / values.length;
  return { places, sizes: Float32Array.from(squares, Math.sqrt) };
}
