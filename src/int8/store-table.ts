/** @file Embedding tables in 8 bits: what int8 methods do to weights that no kernel multiplies. */
import { quantizeChannels } from "../numeric/quantize.ts";
import type { WeightUse } from "../ops/weights.ts";
import type { Form, Weight } from "../weights/form.ts";
import { storeWeight } from "../weights/sites.ts";

/** Rows are looked up, not multiplied: 8 bits in the file, widened at load. */
export function storeTable(
  { node, value, role }: WeightUse,
  weight: Weight,
  search: "minmax" | "mse",
): void {
  if (weight.form.kind !== "float") return;
  const axis = role.outputAxis;
  const rounding = { bits: 8, symmetric: true, search };
  const { q, scales } = quantizeChannels(weight.values, weight.shape, axis, rounding);
  const grid: Form = { kind: "grid", bits: 8, q, scale: scales, axis, block: null };
  storeWeight({ node, value, weight }, grid);
}
