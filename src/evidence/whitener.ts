/**
 * @file Whitening: a layer's inputs as a factor S, so that errors of W S are errors of outputs.
 *
 * With S S^T = X X^T, X [columns, positions of all records],
 *   |(W - W') X|_F^2 = tr((W - W') X X^T (W - W')^T) = |(W - W') S|_F^2,
 * so the best W' of rank r is U_r diag(s_r) V_r^T S^-1 with W S = U diag(s) V^T, and its loss is
 * exactly the sum of the dropped s^2 (Wang et al. 2024, SVD-LLM, arXiv 2403.07378, section 3.1).
 */
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";
import type { Layer } from "../layers/matrix.ts";
import { cholesky, divideByLower } from "../numeric/cholesky.ts";
import { damped } from "../numeric/inverse.ts";
import { multiplyTransposed, transpose } from "../numeric/matrix.ts";
import { type Moments, momentsOf } from "./moments.ts";

/** How exact the moments are, which the engine sums in float32. */
const SUMS = 2 ** -20;

/** A factor S of the second moments of a layer's inputs. */
export interface Whitener {
  /** Columns of the layer's matrix W [rows, columns]. */
  readonly columns: number;
  /** S, lower triangular [columns, columns]: S S^T = E[x x^T] + damping mean(E[x^2]) I. */
  readonly factor: Float64Array;
  /**
   * The mean x [columns] that was taken off before, so that S S^T is the inputs' covariance; null
   * if none was.
   */
  readonly mean?: Float64Array | null;
}

/**
 * The whitener of every layer, or the reason why its inputs cannot be observed. Without damping S
 * has full rank only if the records reach every direction of the input space; otherwise this
 * rejects with TersorError "bad-number".
 */
export async function whitenersOf(
  model: Model,
  layers: readonly Layer[],
  {
    records,
    damping,
    isCentred = false,
    moments: known,
  }: {
    readonly records: number;
    readonly damping: number;
    readonly isCentred?: boolean;
    /** The second moments (gram) of the layers, where they were observed already. */
    readonly moments?: Awaited<ReturnType<typeof momentsOf>>;
  },
  context: Context,
): Promise<Map<Layer, Whitener | string>> {
  const found = known ?? (await momentsOf(model, layers, "gram", records, context));
  const sums = isCentred ? await momentsOf(model, layers, "sums", records, context) : null;
  const pairs = layers.map((layer): [Layer, Whitener | string] => {
    const moments = found.get(layer) as Moments | string;
    if (typeof moments === "string") return [layer, moments];
    if (moments.groups.length > 1) return [layer, "is a grouped convolution"];
    const { columns } = moments.rows;
    const from = orderOf(layer, moments);
    const at = (i: number): number => from[Math.floor(i / columns)] * columns + from[i % columns];
    const gram = moments.groups[0].map((_, i, all) => all[at(i)]);
    const sum = sums?.get(layer);
    const mean = sum && typeof sum !== "string" ? centre(gram, sum.groups[0], from) : null;
    const factor =
      damping > 0
        ? cholesky(damped(gram, columns, damping), columns)
        : cholesky(gram, columns, SUMS);
    return [layer, { columns, factor, mean }];
  });
  return new Map(pairs);
}

/**
 * For each column of the layer's matrix, which counts kernel positions fastest, its place among the
 * moments, which count input channels fastest.
 */
function orderOf({ kind }: Layer, { rows }: Moments): Int32Array {
  const { columns } = rows;
  const from = Int32Array.from({ length: columns }, (_, i) => i);
  if (kind === "conv") {
    for (let column = 0; column < columns; column++) from[rows.at(0, 0, column)] = column;
  }
  return from;
}

/** Takes n m m^T off sum x x^T over n inputs x, and returns their mean m = sum x / n. */
function centre(gram: Float64Array, sums: Float64Array, from: Int32Array): Float64Array {
  const { length: columns } = from;
  const count = sums[columns];
  const mean = Float64Array.from(from, (column) => sums[column] / count);
  for (let i = 0; i < gram.length; i++) {
    gram[i] -= count * mean[Math.floor(i / columns)] * mean[i % columns];
  }
  return mean;
}

/** W S of W [rows, columns]. */
export function whiten(matrix: Float32Array, { columns, factor }: Whitener): Float64Array {
  const rows = matrix.length / columns;
  const turned = transpose(factor, columns, columns);
  return multiplyTransposed(Float64Array.from(matrix), turned, rows, columns, columns);
}

/** A S^-1 of A [rows, columns]. */
export function unwhiten(matrix: Float64Array, { columns, factor }: Whitener): Float64Array {
  return divideByLower(matrix, factor, columns);
}
