/** @file Form -> nodes: the expression that rebuilds a weight, for float or for int8 kernels. */
import type { Value } from "../ir/graph.ts";
import { quantizeChannels } from "../numeric/quantize.ts";
import { type Builder, build } from "../ops/builder.ts";
import { type Element, floatElement, integerElement } from "./element.ts";
import type { Form, Grid, Weight } from "./form.ts";
import { smallest } from "./layout.ts";

/** A float32 value of `shape`, folded to a plain weight when the engine loads the model. */
export function expandFloat(builder: Builder, form: Form, shape: readonly number[]): Value {
  const g = decoder(builder);
  switch (form.kind) {
    case "float":
      return smallest(form.values, floatElement(form.dtype)).build(g, shape);
    case "codebook": {
      const codebook = g.constant(form.codebook, { name: "codebook" });
      return g.Gather(codebook, expandIndex(g, form.index, form.codebook.length, shape), {
        axis: 0,
      });
    }
    case "grid":
      return expandGrid(g, form, shape);
  }
}

/** int8 levels and their scales: what DequantizeLinear before an integer kernel takes. */
export interface Int8Weight {
  readonly levels: Value;
  /** One scale (axis null) or one per channel of `axis`. */
  readonly scale: Float32Array;
  readonly axis: number | null;
}

/**
 * The same stored form feeding int8 kernels (ENGINE 1.5: storage is independent of compute).
 * Floats are rounded per channel of `axis`; a codebook has its entries rounded, indices stay; a grid
 * keeps its integers. A grid over blocks or other channels has no int8 kernel: its values are
 * rounded like floats.
 */
export function expandInt8(
  builder: Builder,
  { form, shape, values }: Weight,
  axis: number,
  options: { readonly bits: number; readonly search: "minmax" | "mse" },
): Int8Weight {
  const g = decoder(builder);
  const rounding = { ...options, symmetric: true };
  if (form.kind === "codebook" && form.codebook.length <= 256) {
    const { q, scales } = quantizeChannels(form.codebook, [form.codebook.length], null, rounding);
    const codebook = g.constant(q, { dtype: "int8", name: "codebook" });
    const index = expandIndex(g, form.index, form.codebook.length, shape);
    return { levels: g.Gather(codebook, index, { axis: 0 }), scale: scales, axis: null };
  }
  const fits = form.kind === "grid" && form.block === null && form.bits <= options.bits;
  if (fits && (form.axis === null || form.axis === axis)) {
    return { levels: expandLevels(g, form, shape, "int8"), scale: form.scale, axis: form.axis };
  }
  const { q, scales } = quantizeChannels(values, shape, axis, rounding);
  const grid: Grid = { kind: "grid", bits: 8, q, scale: scales, axis, block: null };
  return { levels: expandLevels(g, grid, shape, "int8"), scale: scales, axis };
}

/** Names are bytes: those inside a decode chain are short; the weight's own name goes to its result. */
function decoder(builder: Builder): Builder {
  return build(builder.graph);
}

function expandIndex(
  g: Builder,
  index: Uint16Array,
  entries: number,
  shape: readonly number[],
): Value {
  let bits = 1;
  while (2 ** bits < entries) bits++;
  return smallest(index, integerElement(bits, false, "int32")).build(g, shape);
}

function expandLevels(
  g: Builder,
  grid: Grid,
  shape: readonly number[],
  dtype: "int8" | "float32",
): Value {
  const element: Element = integerElement(grid.bits, true, dtype);
  return smallest(grid.q, element).build(g, shape);
}

function expandGrid(g: Builder, grid: Grid, shape: readonly number[]): Value {
  const { axis, block, scale } = grid;
  const constant = (dims: readonly number[]): Value =>
    g.constant(scale, { shape: dims, name: "scale" });
  if (axis === null) return g.Mul(expandLevels(g, grid, shape, "float32"), constant([]));
  if (block === null) {
    const dims = shape.map((dim, i) => (i === axis ? dim : 1));
    return g.Mul(expandLevels(g, grid, shape, "float32"), constant(dims));
  }
  const split = (second: number): number[] => [
    ...shape.slice(0, axis),
    shape[axis] / block,
    second,
    ...shape.slice(axis + 1),
  ];
  const scaled = g.Mul(expandLevels(g, grid, split(block), "float32"), constant(split(1)));
  return g.Reshape(scaled, g.ints(shape, "shape"));
}
