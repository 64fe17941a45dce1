/**
 * @file Finds the distance at which a sparse tensor resembles itself most, such as an image's width
 * or a kernel's row.
 */
import type { Shape } from "../decode/shape.ts";

/**
 * The lag of the context coder: among 2 to 128, and these times the columns, the distance at which
 * a non-zero most often follows a non-zero. Kernels, dense tensors and short ones get the usual
 * lag: `width`, the last dimension, for a kernel, otherwise 2.
 */
export function findLag(
  values: Int32Array,
  { columns, kernel, rows }: Shape,
  width: number,
): number {
  const usual = Math.min(kernel > 1 && width > 1 ? width : 2, Math.max(1, values.length));
  if (kernel > 1 || values.length < 1000) return usual;
  const at: number[] = [];
  for (let i = 0; i < values.length; i++) if (values[i] !== 0) at.push(i);
  if (at.length > values.length / 2) return usual;
  const step = Math.ceil(at.length / 6_000);
  const candidates: number[] = [];
  for (let k = 2; k <= 128; k++) {
    if (k < columns) candidates.push(k);
    if (k < rows) candidates.push(k * columns);
  }
  let best = usual;
  let most = 0;
  for (const lag of candidates) {
    let hits = 0;
    let asked = 0;
    for (let n = 0; n < at.length; n += step) {
      if (at[n] < lag) continue;
      asked++;
      if (values[at[n] - lag] !== 0) hits++;
    }
    // A larger lag must be better by 2 %: it is measured on fewer pairs.
    if (asked > at.length / step / 2 && hits / asked > most * 1.02) {
      most = hits / asked;
      best = lag;
    }
  }
  return best;
}
