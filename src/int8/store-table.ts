/** @file Embedding tables in 8 bits: what int8 methods do to weights that no kernel multiplies. */
import type { WeightUse } from "../ops/weights.ts";
import { roundToGrid } from "../weights/forms/grid.ts";
import { storeWeight } from "../weights/sites.ts";
import type { FloatWeight } from "../weights/weight.ts";

/** Rows are looked up, not multiplied: 8 bits in the file, widened at load. */
export function storeTable(
  { node, value, role }: WeightUse,
  weight: FloatWeight,
  search: "minmax" | "mse",
): void {
  // Any form is smaller than plain numbers already.
  if (weight.form) return;
  const options = { bits: 8, block: 0, axis: role.outputAxis, search };
  storeWeight({ node, value }, roundToGrid(weight.values, weight.shape, options));
}
