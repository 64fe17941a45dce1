/** @file Embedding tables of low rank: a look-up reads a short row, and a product makes it long. */
import type { Context } from "../context.ts";
import { countRows, type LookUp } from "../evidence/row-counts.ts";
import type { Model } from "../ir/model.ts";
import { transpose } from "../numeric/matrix.ts";
import { svd, truncate } from "../numeric/svd.ts";
import type { WeightUse } from "../ops/weights.ts";
import { factored } from "../weights/forms/factored.ts";
import { rowReaders, storeRows, whyNotRows } from "../weights/look-up.ts";
import { type LayerSite, tablesOf } from "../weights/sites.ts";
import { composed, leaf } from "../weights/weight.ts";
import type { Settled } from "./options.ts";
import { bytesOf, type Piece, readerOf } from "./piece.ts";
import { ranksUpTo, tailsOf } from "./spectrum.ts";

type Table = LayerSite & WeightUse;

/**
 * A table E [rows, features] as L R of rank r, so that E[ids] = L[ids] R. With records, row v of the
 * error counts as often as they read it, once more so that no row is lost:
 *   min sum_v (n_v + 1) |E_v - L_v R|^2
 * by the SVD of diag(n + 1)^1/2 E. Scores that are computed from the same table read L R.
 */
export async function tablePieces(
  model: Model,
  options: Settled,
  context: Context,
  smallest: number,
): Promise<Piece[]> {
  const tables = tablesOf(model, options, context, smallest).filter((table) => {
    const why = whyNotRows(table);
    if (why) context.skip(table.node.name, why);
    return !why;
  });
  const counts =
    options.weighting === "none" || !context.hasCalibration
      ? new Map<Table, Float64Array>()
      : await countsOf(model, tables, options.records, context);
  return tables.map((table) => pieceOf(table, counts.get(table) ?? null, options.multiple));
}

function pieceOf(table: Table, counts: Float64Array | null, multiple: number): Piece {
  const { node, value, weight } = table;
  const [rows, features] = weight.shape;
  const roots = counts?.map((n) => Math.sqrt(n + 1));
  const weighted = roots
    ? Float64Array.from(weight.values, (x, i) => x * roots[Math.floor(i / features)])
    : weight.values;
  const parts = svd(weighted, rows, features);
  const tails = tailsOf(parts.s);
  const points = ranksUpTo(parts.rank, multiple).map((rank) => ({
    ...{ ranks: [rank], error: tails[rank] },
    ...{ parameters: rank * (rows + features), macs: rank * features },
  }));
  const factors = (rank: number) => {
    const { u, s, v } = truncate(parts, rank);
    const left = new Float32Array(rows * rank);
    const right = transpose(v, features, rank, new Float32Array(features * rank));
    for (let i = 0; i < left.length; i++) {
      left[i] = (u[i] * s[i % rank]) / (roots?.[Math.floor(i / rank)] ?? 1);
    }
    const theta = { left: leaf(left, [rows, rank]), right: leaf(right, [rank, features]) };
    return composed(factored, [rows, features], theta);
  };
  return {
    ...{ node, points, energy: tails[0], isLookUp: true },
    ...{ before: { params: rows * features, macs: 0 }, bytes: bytesOf(weight) },
    async place({ ranks: [rank] }, twins) {
      const at = twins?.get(value) ?? value;
      const found = rowReaders(at).map(({ output }) => readerOf(output));
      storeRows({ value: at, node }, factors(rank));
      return { nodes: found.flatMap((reader) => reader()?.producer ?? []), output: null };
    },
  };
}

/** How often the records read each row of each table; missing for tables that none of them reads. */
async function countsOf(
  model: Model,
  tables: readonly Table[],
  records: number,
  context: Context,
): Promise<Map<Table, Float64Array>> {
  const counts = new Map<Table, Float64Array>();
  const lookUps = tables.flatMap((table) => {
    const own = new Float64Array(table.weight.shape[0]);
    return rowReaders(table.value).flatMap(({ inputs: [, ids], graph }): LookUp[] => {
      if (!ids || ids.tensor || graph !== model.graph) return [];
      counts.set(table, own);
      return [{ ids, counts: own }];
    });
  });
  await countRows(model, lookUps, context, records);
  return counts;
}
