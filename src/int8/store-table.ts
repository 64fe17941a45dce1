/** @file Stores embedding tables in a few bits, which no kernel multiplies by. */
import { quantizeBlocks, quantizeChannels } from "../numeric/quantize.ts";
import type { WeightUse } from "../ops/weights.ts";
import { asymmetricOf } from "../weights/forms/asymmetric.ts";
import { gridOf, roundToGrid } from "../weights/forms/grid.ts";
import { rowReaders, storeRows, whyNotRows } from "../weights/look-up.ts";
import { storeWeight } from "../weights/sites.ts";
import type { Composed, FloatWeight } from "../weights/weight.ts";

/** How rows are rounded. */
export interface RowRounding {
  readonly bits: number;
  /** Numbers of a row per scale; 0: one scale per row. */
  readonly block: number;
  readonly symmetric: boolean;
  readonly search: "minmax" | "mse";
}

/** A table [rows, features] on a grid for each row, or for each block of a row. */
export function roundRows({ values, shape }: FloatWeight, rounding: RowRounding): Composed {
  const block = rounding.block > 0 && rounding.block < shape[1] ? rounding.block : null;
  const { q, scales, zeroPoints } = block
    ? quantizeBlocks(values, shape, 1, block, rounding)
    : quantizeChannels(values, shape, 0, rounding);
  const layout = { scales, axis: block ? 1 : 0, block, bits: rounding.bits };
  return zeroPoints
    ? asymmetricOf(q, shape, Float32Array.from(zeroPoints), layout)
    : gridOf(q, shape, layout);
}

/**
 * Rounds the embedding table of a model whose layers become int8, with a scale per feature, and looks
 * its rows up as levels. Where a layer computes with all of the table, the engine widens it to floats
 * at load instead, and the layer rounds it for its own kernel.
 */
export function storeTable(
  use: WeightUse,
  weight: FloatWeight,
  search: RowRounding["search"],
): void {
  const { value, role } = use;
  // Any other form is smaller than float32 already; a table without readers was stored before.
  if (weight.form || value.uses.size === 0) return;
  const options = { bits: 8, block: 0, axis: role.outputAxis, search };
  const grid = roundToGrid(weight.values, weight.shape, options);
  const isTied = rowReaders(value).length < value.uses.size;
  if (isTied || whyNotRows(use) !== null) storeWeight(use, grid);
  else storeRows(use, grid);
}
