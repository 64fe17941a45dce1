/**
 * @file Finds layers whose int8 sums saturate on x64 processors without VNNI.
 *
 * Their instruction (vpmaddubsw) adds two products of uint8 and int8 in int16,
 *   clamp(q_2k w_2k + q_2k+1 w_2k+1, -2^15, 2^15 - 1),
 * before sums go on in int32. Two products can reach 2 * 255 * 127 = 64770; with weights of 7 bits
 * they end at 2 * 255 * 64 = 32640.
 */
import type { Observe } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { inputsOf } from "../layers/inputs.ts";
import { type Rows, rowsOf } from "../layers/rows.ts";
import { roundHalfEven } from "../numeric/level.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import type { Builder } from "../ops/builder.ts";
import { toInt8 } from "../weights/elements.ts";
import { readWeight } from "../weights/read.ts";
import { leaf } from "../weights/weight.ts";
import { type Int8Layer, type Plan, rootOf } from "./plan.ts";

/** Calibration records, and windows of each batch of them, that sums are computed for. */
const RECORDS = 16;
const POSITIONS = 256;

const [LEAST, LARGEST] = [-(2 ** 15), 2 ** 15 - 1];
/** Two weights of one sign that add up to less than this cannot saturate: 255 * 128 < 2^15. */
const RISKY = 129;

/** Two neighbouring weights of a row that may saturate. */
interface Pair {
  readonly group: number;
  readonly row: number;
  readonly column: number;
  readonly first: number;
  readonly second: number;
}

/**
 * For each layer of the plan with sums that saturate on calibration records: their share among the
 * sums that were looked at. Sums are those of the layer's inputs, rounded by `params`, and its
 * weights in 8 bits, scaled as `search` says; neighbours are input channels of one kernel position.
 */
export async function saturatedShares(
  model: Model,
  plan: Plan,
  params: ReadonlyMap<Value, QuantParams>,
  search: "minmax" | "mse",
  observe: Observe,
): Promise<Map<Node, number>> {
  const taps = plan.layers.flatMap((layer) => {
    const { node, inputIndex, weightIndex } = layer;
    const value = node.inputs[inputIndex] as Value;
    const rounding = params.get(rootOf(value));
    const found = riskyPairs(layer, search);
    if (!rounding || !found || found.pairs.length === 0) return [];
    const { rows, shape, pairs } = found;
    const of = (g: Builder, x: Value): Value =>
      inputsOf(g, { node, index: weightIndex }, x, rows, shape);
    return [{ value, of, optional: true, node, rounding, rows, pairs, seen: 0, saturated: 0 }];
  });
  if (taps.length === 0) return new Map();
  await observe(
    model,
    taps,
    (tap, batch) => {
      const [, positions] = batch.shape;
      const { rows } = tap;
      const x = batch.floats();
      const step = Math.ceil(positions / POSITIONS);
      for (let at = 0; at < positions; at += step) {
        tap.seen += rows.groups * rows.rows;
        tap.saturated += saturatedRows(tap.pairs, tap.rounding, ({ group, column }) => {
          return x[(group * positions + at) * rows.columns + column];
        });
      }
    },
    RECORDS,
  );
  return new Map(
    taps
      .filter(({ saturated }) => saturated > 0)
      .map(({ node, saturated, seen }) => [node, saturated / seen]),
  );
}

/** How many rows hold a pair that saturates for the inputs that `read` gives. */
function saturatedRows(
  pairs: readonly Pair[],
  { scale, zeroPoint }: QuantParams,
  read: (pair: Pick<Pair, "group" | "column">) => number,
): number {
  const level = (x: number): number =>
    Math.max(0, Math.min(255, roundHalfEven(x / scale) + zeroPoint));
  let count = 0;
  let last: Pair | null = null;
  for (const pair of pairs) {
    const { group, row, column, first, second } = pair;
    if (last?.group === group && last.row === row) continue;
    const sum = level(read(pair)) * first + level(read({ group, column: column + 1 })) * second;
    if (sum >= LEAST && sum <= LARGEST) continue;
    last = pair;
    count++;
  }
  return count;
}

/** The pairs of a layer whose weights could saturate, row by row. */
function riskyPairs(
  { node, weightIndex, role }: Int8Layer,
  search: "minmax" | "mse",
): { readonly rows: Rows; readonly shape: readonly number[]; readonly pairs: Pair[] } | null {
  const value = node.inputs[weightIndex] as Value;
  const weight = readWeight(value);
  const rows = weight && rowsOf({ node, role, weight });
  if (!weight || !rows || typeof rows === "string") return null;
  const { shape } = weight;
  const { levels } = toInt8(leaf(weight.values, shape), role.outputAxis, { bits: 8, search });
  const q = levels.values;
  const pairs: Pair[] = [];
  for (let group = 0; group < rows.groups; group++) {
    for (let row = 0; row < rows.rows; row++) {
      for (let column = 0; column + 1 < rows.columns; column += 2) {
        const first = q[rows.at(group, row, column)];
        const second = q[rows.at(group, row, column + 1)];
        const positive = Math.max(first, 0) + Math.max(second, 0);
        const negative = Math.max(-first, 0) + Math.max(-second, 0);
        if (Math.max(positive, negative) < RISKY) continue;
        pairs.push({ group, row, column, first, second });
      }
    }
  }
  return { rows, shape, pairs };
}
