/** @file Products: what the readers of a group compute from its channels: weights and moments. */

import type { Context } from "../context.ts";
import { momentsOf } from "../evidence/moments.ts";
import type { Model } from "../ir/model.ts";
import type { Rows } from "../layers/rows.ts";
import { multiplyTransposed, transpose } from "../numeric/matrix.ts";
import { readWeight } from "../weights/read.ts";
import type { LayerSite } from "../weights/sites.ts";
import type { Candidate, Part } from "./candidates.ts";
import { canAbsorb } from "./dead.ts";

/**
 * Layers with more inputs are not scored: the time grows with the cube of this and reaches minutes.
 */
const LARGEST = 2304;

/**
 * A reader of a group as products W X of [rows, n] by [n, positions], one per convolution group.
 */
export interface Products {
  /** Inputs of one group times kernel positions. */
  readonly n: number;
  /** Outputs of one group. */
  readonly rows: number;
  /** Which of the n columns of W belong to a unit. */
  columns(unit: number): readonly number[];
  readonly groups: readonly {
    readonly w: Float64Array;
    /** X X^T [n, n], over the calibration records. */
    readonly gram: Float64Array;
    /** |W X|^2 = tr(W X X^T W^T). */
    readonly energy: number;
  }[];
}

/**
 * Makes a criterion from a function that scores the units of one group, given its readers as
 * products. A group none of whose readers can be observed gets a reason instead.
 */
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
          : "is read by no layer whose inputs could be observed: try criterion=group-l2",
      );
    }
    return scores;
  };

const columnsOf = ({ weight, use }: Part): number =>
  weight.size / weight.shape[use.role.outputAxis];

/** The products of one reader. Columns of W count inputs fastest, as `rowsOf` lays them out. */
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

/** tr(W G W^T) of W [rows, n] and G [n, n]. */
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

/**
 * G_uv = <z_u, z_v> [units, units] of what the units add to a reader's outputs, z_u = W_u X_u,
 * divided by the reader's energy |W X|^2 and averaged over the readers, so that layers count alike.
 * <z_u, z_v> is the sum of (W^T W)_ij (X X^T)_ij over the columns i of u and j of v.
 */
export function innerProducts(units: number, readers: readonly Products[]): Float64Array {
  const sum = new Float64Array(units * units);
  for (const { n, rows, columns, groups } of readers) {
    const energy = readers.length * (groups.reduce((total, group) => total + group.energy, 0) || 1);
    const places = Array.from({ length: units }, (_, unit) => columns(unit));
    for (const { w, gram } of groups) {
      const turned = transpose(w, rows, n);
      const weights = multiplyTransposed(turned, turned, n, n, rows); // W^T W [n, n]
      for (let u = 0; u < units; u++) {
        for (let v = u; v < units; v++) {
          let inner = 0;
          for (const i of places[u]) {
            for (const j of places[v]) inner += weights[i * n + j] * gram[i * n + j];
          }
          sum[u * units + v] += inner / energy;
          if (v > u) sum[v * units + u] += inner / energy;
        }
      }
    }
  }
  return sum;
}
