/** @file Regularizers: terms of the loss that drive weights, or whole groups of them, to zero. */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import type { WeightRole } from "../ops/weights.ts";
import { product } from "../util/product.ts";
import type { Site } from "./by-score.ts";

/** What falls together: a weight; all of one output, of one input, of one input at one position. */
export type Unit = "weight" | "filter" | "channel" | "shape" | "layer";

/** Axes of the weight along which a unit extends. */
const extents: Readonly<Record<Unit, (role: WeightRole, rank: number) => number[]>> = {
  weight: () => [],
  filter: ({ outputAxis }, rank) => range(rank).filter((axis) => axis !== outputAxis),
  channel: ({ inputAxis }, rank) => range(rank).filter((axis) => axis !== inputAxis),
  shape: ({ outputAxis }) => [outputAxis],
  layer: (_, rank) => range(rank),
};

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** The axes a unit of this layer extends along; a reason where its inputs are counted per group. */
export function extentOf(unit: Unit, { role, weight }: Site): number[] | string {
  if (unit === "weight") return [];
  if (!role) return "stores a part of a form, which has no filters";
  const isGrouped = role.groups > 1 && (unit === "channel" || unit === "shape");
  if (isGrouped) return "is a grouped convolution, whose filters read different inputs";
  return extents[unit](role, weight.shape.length);
}

export interface Regularizer {
  readonly unit: Unit;
  /** Usual factor of the penalty. */
  readonly strength: number;
  /** Of one layer; `axes` is the unit's extent, `size` its number of weights. */
  readonly penalty: (g: Builder, w: Value, axes: readonly number[], size: number) => Value;
  readonly doc: string;
}

const sum = (g: Builder, x: Value): Value => g.ReduceSum(x, null, { keepdims: 0 });

/** Root mean square of each unit; a little more than 0, where the root has no slope. */
function norms(g: Builder, w: Value, axes: readonly number[], size: number): Value {
  const squares = g.ReduceSumSquare(w, g.ints(axes, "axes"), { keepdims: 0 });
  return g.Sqrt(g.Add(g.Div(squares, g.constant(size)), g.constant(1e-12)));
}

/** sum over units of size * rms = sqrt(size) |w|, as Yuan, Lin 2006 weigh groups. */
const lasso: Regularizer["penalty"] = (g, w, axes, size) =>
  g.Mul(sum(g, norms(g, w, axes, size)), g.constant(size));

const lassoOver = (unit: Unit, doc: string): Regularizer => ({
  unit,
  strength: 1e-4,
  penalty: lasso,
  doc: `group lasso over ${doc} (SSL, Wen et al. 2016, arXiv 1608.03665)`,
});

export const regularizers = {
  l1: {
    unit: "weight",
    strength: 1e-4,
    penalty: (g, w) => sum(g, g.Abs(w)),
    doc: "sum of |w|",
  },
  /** The bias of the decay: it pulls at w by 2 w / (1 + w^2)^2, hard near zero, hardly far away. */
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
  layers: lassoOver("layer", "layers; makes sense beside shortcuts"),
  /** Units far above the mean are let alone: min(rms, mean of rms), so that large ones stay large. */
  damage: {
    unit: "shape",
    strength: 1e-4,
    penalty(g, w, axes, size) {
      const all = norms(g, w, axes, size);
      return g.Mul(sum(g, g.Min(all, g.ReduceMean(all))), g.constant(size));
    },
    doc: "group brain damage: only the smaller half of the inputs at each kernel position is pressed (after Lebedev, Lempitsky 2016, arXiv 1506.02515)",
  },
} as const satisfies Record<string, Regularizer>;

/** Which unit each element belongs to, and the root mean square of each unit. */
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
