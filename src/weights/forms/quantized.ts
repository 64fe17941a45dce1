/** @file Quantized: weights as integer kernels read them, below a DequantizeLinear. */
import type { Value } from "../../ir/graph.ts";
import { defineForm, type Form, integers, learns, type Shape } from "../form.ts";

const scale = learns({ keepsZeros: false });
const zero = integers("int8", -128, 127);
const source = "Jacob et al. 2018, arXiv 1712.05877, eq. 1";

/** The attribute `axis` of DequantizeLinear; null where there is one scale for all. */
type Axis = number | null;
const attributes = (axis: Axis) => (axis === null ? [] : [{ axis }]);

/**
 * The shape of scales along `axis`. There is one form per axis, because the shapes of a square
 * matrix and its scales do not tell which axis is meant.
 */
const dimsOf = (axis: Axis, shape: Shape): Shape => (axis === null ? [] : [shape[axis]]);
/** Example shapes, by their last axis. */
const shapes: Readonly<Record<number, Shape>> = { 1: [6, 4], 2: [6, 4, 3], 3: [6, 4, 3, 2] };

/**
 * W = s (round(V / s) - z), V a weight in any form that the engine rounds when it loads the model.
 */
function quantizedOn(axis: Axis): Form<"weight" | "scale" | "zero_point"> {
  const shape = shapes[Math.max(1, axis ?? 1)];
  const dims = dimsOf(axis, shape);
  return defineForm({
    kind: axis === null ? "quantized" : `quantized along axis ${axis}`,
    cite: source,
    doc: "W = s (round(V / s) - z), V a weight of any form",
    theta: { weight: learns(), scale, zero_point: zero },
    build(g, { weight, scale: s, zero_point: z }) {
      const q = g.QuantizeLinear(weight, s, z, ...attributes(axis));
      return g.DequantizeLinear(q, s, z, ...attributes(axis));
    },
    examples: [{ shape, theta: { weight: shape, scale: dims, zero_point: dims } }],
    isInteger: true,
  });
}

/** W = s (q - z), q stored in int8. */
function levelsOn(axis: Axis): Form<"levels" | "zero_point" | "scale"> {
  const shape = shapes[Math.max(1, axis ?? 1)];
  const dims = dimsOf(axis, shape);
  return defineForm({
    kind: axis === null ? "levels of int8" : `levels of int8 along axis ${axis}`,
    cite: source,
    doc: "W = s (q - z), q int8",
    theta: { levels: integers("int8", -128, 127), zero_point: zero, scale },
    build: (g, { levels, zero_point: z, scale: s }): Value =>
      g.DequantizeLinear(levels, s, z, ...attributes(axis)),
    examples: [{ shape, theta: { levels: shape, zero_point: dims, scale: dims } }],
    elements: "levels",
    isInteger: true,
  });
}

const axes: readonly Axis[] = [null, 0, 1, 2, 3];

export const quantized = axes.map(quantizedOn);
export const int8 = axes.map(levelsOn);
