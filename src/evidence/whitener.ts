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
}

/**
 * The whitener of every layer, or the reason why its inputs cannot be observed. Without damping S
 * has full rank only if the records reach every direction of the input space; otherwise this
 * rejects with TersorError "bad-number".
 */
export async function whitenersOf(
  model: Model,
  layers: readonly Layer[],
  { records, damping }: { readonly records: number; readonly damping: number },
  context: Context,
): Promise<Map<Layer, Whitener | string>> {
  const found = await momentsOf(model, layers, "gram", records, context);
  const pairs = layers.map((layer): [Layer, Whitener | string] => {
    const moments = found.get(layer) as Moments | string;
    if (typeof moments === "string") return [layer, moments];
    if (moments.groups.length > 1) return [layer, "is a grouped convolution"];
    const gram = inOrder(layer, moments);
    const { columns } = moments.rows;
    const factor =
      damping > 0
        ? cholesky(damped(gram, columns, damping), columns)
        : cholesky(gram, columns, SUMS);
    return [layer, { columns, factor }];
  });
  return new Map(pairs);
}

/**
 * E[x x^T] with columns in the order of the layer's matrix, which counts kernel positions fastest;
 * moments count input channels fastest.
 */
function inOrder({ kind }: Layer, { rows, groups: [gram] }: Moments): Float64Array {
  if (kind === "linear") return gram;
  const { columns } = rows;
  const from = new Int32Array(columns);
  for (let column = 0; column < columns; column++) from[rows.at(0, 0, column)] = column;
  return gram.map((_, i) => gram[from[Math.floor(i / columns)] * columns + from[i % columns]]);
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
