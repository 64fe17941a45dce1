/** @file Stores embedding tables in 8 bits, which no kernel multiplies by. */
import type { WeightUse } from "../ops/weights.ts";
import { roundToGrid } from "../weights/forms/grid.ts";
import { storeWeight } from "../weights/sites.ts";
import type { FloatWeight } from "../weights/weight.ts";

/**
 * Rounds an embedding table to int8 levels with one scale per output feature. The engine widens it
 * to float when it loads the model, so look-ups give floats.
 */
export function storeTable(
  { node, value, role }: WeightUse,
  weight: FloatWeight,
  search: "minmax" | "mse",
): void {
  // A table in any other form is smaller than float32 already.
  if (weight.form) return;
  const options = { bits: 8, block: 0, axis: role.outputAxis, search };
  storeWeight({ node, value }, roundToGrid(weight.values, weight.shape, options));
}
