/** @file Products: what the readers of channels compute from them, as weights and moments of inputs. */

import type { Context } from "../context.ts";
import { momentsOf } from "../evidence/moments.ts";
import type { Model } from "../ir/model.ts";
import type { Rows } from "../layers/rows.ts";
import { readWeight } from "../weights/read.ts";
import type { LayerSite } from "../weights/sites.ts";
import type { Candidate, Part } from "./candidates.ts";
import { canAbsorb } from "./dead.ts";

/** More inputs than this take minutes to weigh. */
const LARGEST = 2304;

/** One product W X to a convolution's group, [rows, n] x [n, records]. */
export interface Products {
  readonly n: number;
  readonly rows: number;
  /** Which of the n inputs a unit is. */
  columns(unit: number): readonly number[];
  readonly groups: readonly {
    readonly w: Float64Array;
    /** X X^T. */
    readonly gram: Float64Array;
    /** tr(W X X^T W^T) */
    readonly energy: number;
  }[];
}

/** Scores of groups by what their readers compute; a text where none can be weighed. */
export const byReaders =
  (score: (units: number, readers: readonly Products[]) => Float64Array) =>
  async (
    candidates: readonly Candidate[],
    model: Model,
    context: Context,
    records: number,
  ): Promise<(Float64Array | string)[]> => {
    const partsOf = candidates.map(({ readers }) =>
      readers.flatMap(({ part }) => (part && canAbsorb(part) ? part : [])),
    );
    const sites = new Map<Part, LayerSite>();
    for (const part of partsOf.flat()) {
      const weight = readWeight(part.use.value);
      if (weight && columnsOf(part) <= LARGEST) sites.set(part, { ...part.use, weight });
    }
    const moments = await momentsOf(model, [...sites.values()], "gram", records, context);
    const scores: (Float64Array | string)[] = [];
    for (const [i, { group }] of candidates.entries()) {
      await context.progress(i, candidates.length);
      const readers = partsOf[i].flatMap((part) => {
        const site = sites.get(part);
        const found = site && moments.get(site);
        if (!found || typeof found === "string") return [];
        return productsOf(part, site.weight.values, found.rows, found.groups);
      });
      scores.push(
        readers.length > 0
          ? score(group.units.length, readers)
          : "is read by no layer whose inputs could be weighed: try criterion=l2",
      );
    }
    return scores;
  };

const columnsOf = ({ weight, use }: Part): number =>
  weight.size / weight.shape[use.role.outputAxis];

function productsOf(
  part: Part,
  values: Float32Array,
  { groups, rows, columns: n, at }: Rows,
  grams: readonly Float64Array[],
): Products {
  const depth = part.weight.shape[part.axis];
  const taps = Array.from({ length: n / depth }, (_, tap) => tap * depth);
  const of = grams.slice(0, groups).map((gram, group) => {
    const w = new Float64Array(rows * n);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < n; column++) {
        w[row * n + column] = values[at(group, row, column)];
      }
    }
    return { w, gram, energy: energyOf(w, gram, rows, n) };
  });
  const columns = (unit: number): number[] =>
    taps.flatMap((tap) => part.indices(unit).map((index) => tap + index));
  return { n, rows, columns, groups: of };
}

function energyOf(w: Float64Array, gram: Float64Array, rows: number, n: number): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < n; i++) {
      const left = w[row * n + i];
      if (left === 0) continue;
      let inner = 0;
      for (let j = 0; j < n; j++) inner += gram[i * n + j] * w[row * n + j];
      sum += left * inner;
    }
  }
  return sum;
}
