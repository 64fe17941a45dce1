/**
 * @file Rate-aware GPTQ: levels that are cheap to code, with the error carried on to later columns
 * (Conzelmann, Wiegand 2025, CERWU, arXiv 2505.18758, section 3).
 */
import { exp } from "../numeric/exp.ts";
import { compensate } from "../numeric/inverse.ts";
import { log } from "../numeric/log.ts";

/** A layer's rows, which share the Hessian of their group. */
export interface RateLayer {
  /** W [groups x rows, columns], row-major. */
  readonly weight: Float64Array;
  readonly columns: number;
  /** For each row g, what an error of its output costs: the loss is sum_o g_o dw_o^T H dw_o. */
  readonly gains: Float64Array;
  /** For each group the upper triangular U of H^-1 = U^T U [columns, columns]. */
  readonly uppers: readonly Float64Array[];
}

export interface RateLevels {
  /** q [groups x rows, columns], at most LARGEST in magnitude. */
  readonly q: Int8Array<ArrayBuffer>;
  /** sum_o g_o dw_o^T H dw_o */
  readonly distortion: number;
}

/** The largest level: they are stored in int8. */
export const LARGEST = 127;
/** Sweeps over the weights; each takes its code lengths from the levels of the one before. */
const SWEEPS = 2;

/**
 * The levels q of step s that make sum_o g_o dw_o^T H dw_o + lambda bits(q) small. Column by column,
 * q_j is 0, the nearest level or the one below it, whichever has the least
 *   g_o e_j^2 + lambda R(q_j),   e_j = (w_j - s q_j) / U_jj,
 * and then w_k -= e_j U_jk for k > j. R are code lengths under the statistics of the levels of the
 * sweep before: how often a row and a column hold zeros, and how often each magnitude occurs.
 */
export function levelsByRate(layer: RateLayer, step: number, lambda: number): RateLevels {
  const { weight, columns } = layer;
  let q = Int8Array.from(weight, (w) => clip(Math.round(w / step)));
  let distortion = 0;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const lengths = codeLengths(q, columns);
    ({ q, distortion } = sweepOnce(layer, step, lambda, lengths));
  }
  return { q, distortion };
}

const clip = (q: number): number => Math.max(-LARGEST, Math.min(LARGEST, q));

function sweepOnce(
  { weight, columns, gains, uppers }: RateLayer,
  step: number,
  lambda: number,
  lengths: CodeLengths,
): RateLevels {
  const q = new Int8Array(weight.length);
  const rest = new Float64Array(columns);
  const perGroup = gains.length / uppers.length;
  let distortion = 0;
  for (const [row, gain] of gains.entries()) {
    const upper = uppers[Math.floor(row / perGroup)];
    const at = row * columns;
    rest.set(weight.subarray(at, at + columns));
    for (let j = 0; j < columns; j++) {
      const w = rest[j];
      const perSquare = gain / upper[j * columns + j] ** 2;
      const zero = lengths.zero(row, j);
      const size = Math.min(LARGEST, Math.round(Math.abs(w) / step));
      let level = 0;
      // Weights that pruning has removed stay 0.
      if (size > 0 && weight[at + j] !== 0) {
        let least = perSquare * w * w + lambda * zero.isZero;
        for (let m = Math.max(1, size - 1); m <= size; m++) {
          const gap = Math.abs(w) - m * step;
          const cost = perSquare * gap * gap + lambda * (zero.isNot + lengths.magnitude[m]);
          if (cost < least) [level, least] = [m, cost];
        }
        if (w < 0) level = -level;
      }
      q[at + j] = level;
      const share = compensate(rest, j, w - step * level, upper);
      distortion += gain * share * share;
    }
  }
  return { q, distortion };
}

/** Bits of a level: whether it is zero, and if not, its sign and magnitude. */
interface CodeLengths {
  zero(row: number, column: number): { readonly isZero: number; readonly isNot: number };
  /** Bits of the sign and of magnitude m, at m. */
  readonly magnitude: Float64Array;
}

/**
 * The odds of a zero are those of its row times those of its column over those of the layer, as if
 * rows and columns told independent things. Every count starts at 1/2.
 */
function codeLengths(q: Int8Array, columns: number): CodeLengths {
  const rows = q.length / columns;
  const [inRow, inColumn] = [new Float64Array(rows), new Float64Array(columns)];
  const counts = new Float64Array(LARGEST + 1);
  for (const [i, level] of q.entries()) {
    const m = Math.abs(level);
    counts[m]++;
    if (m > 0) continue;
    inRow[Math.floor(i / columns)]++;
    inColumn[i % columns]++;
  }
  const logit = (zeros: number, size: number): number => log((zeros + 0.5) / (size - zeros + 0.5));
  const all = logit(counts[0], q.length);
  const byRow = inRow.map((zeros) => logit(zeros, columns));
  const byColumn = inColumn.map((zeros) => logit(zeros, rows));
  const others = q.length - counts[0] + LARGEST / 2;
  const magnitude = counts.map((count) => 1 - log2((count + 0.5) / others));
  return {
    zero(row, column) {
      const odds = byRow[row] + byColumn[column] - all;
      return { isZero: softplus(-odds) / Math.LN2, isNot: softplus(odds) / Math.LN2 };
    },
    magnitude,
  };
}

const log2 = (x: number): number => log(x) / Math.LN2;
/** ln(1 + e^x) */
const softplus = (x: number): number => (x > 30 ? x : log(1 + exp(x)));
