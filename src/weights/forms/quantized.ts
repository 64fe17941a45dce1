/** @file Quantized: a weight as integer kernels read it, between QuantizeLinear and DequantizeLinear or stored as int8. */
import type { Value } from "../../ir/graph.ts";
import { defineForm, type Form, integers, learns, type Shape } from "../form.ts";

const scale = learns({ keepsZeros: false });
const zero = integers("int8", -128, 127);
const source = "Jacob et al. 2018, arXiv 1712.05877, eq. 1";

/** Axis of DequantizeLinear; none where there is one scale. */
type Axis = number | null;
const attributes = (axis: Axis) => (axis === null ? [] : [{ axis }]);

/** Along `axis` as many scales as channels: shapes do not tell the axis of a square matrix. */
const dimsOf = (axis: Axis, shape: Shape): Shape => (axis === null ? [] : [shape[axis]]);
const shapes: Readonly<Record<number, Shape>> = { 1: [6, 4], 2: [6, 4, 3], 3: [6, 4, 3, 2] };

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
