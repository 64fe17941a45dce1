/** @file What rounding costs the weights around a stream once it is turned. */
import type { Tensor } from "../ir/tensor.ts";
import type { Slot, Stream } from "../layers/stream.ts";
import { turned, withGain } from "../layers/turn.ts";
import { roundHalfEven } from "../numeric/level.ts";

/**
 * Sum over all matrices of |W' - round(W')|^2 / |W'|^2, with W' = W Q or Q^T W and one step per
 * output, max |w| / (2^(bits - 1) - 1). `m` [block, block] is Q^T.
 */
export function roundingError(stream: Stream, m: Float64Array, bits: number): number {
  const { block, readers, constants } = stream;
  let total = 0;
  for (const reader of readers) {
    const axis = reader.fromEnd === 1 ? 0 : 1;
    total += relativeError(turned(withGain(reader), reader.fromEnd, m, block), axis, bits);
  }
  for (const slot of constants) {
    const weight = weightOf(slot);
    if (!weight) continue;
    total += relativeError(
      turned(weight, slot.fromEnd, m, block),
      slot.fromEnd === 1 ? 1 : 0,
      bits,
    );
  }
  return total;
}

/** The matrix in a slot; null for vectors. */
function weightOf({ node, index }: Slot): Tensor | null {
  const own = node.inputs[index]?.tensor ?? null;
  return own?.shape.length === 2 ? own : null;
}

/** |W - round(W)|^2 / |W|^2 with a step for each index along `axis` of a matrix. */
function relativeError(weight: Tensor, axis: number, bits: number): number {
  const [rows, columns] = weight.shape;
  const values = weight.floats();
  const largest = new Float64Array(axis === 0 ? rows : columns);
  const at = (i: number): number => (axis === 0 ? Math.floor(i / columns) : i % columns);
  for (const [i, w] of values.entries()) largest[at(i)] = Math.max(largest[at(i)], Math.abs(w));
  const levels = 2 ** (bits - 1) - 1;
  let [error, power] = [0, 0];
  for (const [i, w] of values.entries()) {
    const step = largest[at(i)] / levels || 1;
    error += (w - step * roundHalfEven(w / step)) ** 2;
    power += w * w;
  }
  return power > 0 ? error / power : 0;
}
