/**
 * @file Data-free equalization: the factors that even out the weights of all spans of a model.
 *
 * For channel c of one span, with r1_c the largest weight that makes it and r2_c the largest that
 * reads it, s_c = sqrt(r1_c r2_c) / r2_c gives r1_c / s_c = r2_c s_c (Nagel et al. 2019, arXiv
 * 1906.04721, eq. 11). A layer makes one span and reads another, so spans are evened in turn until
 * no factor changes (section 4.1.2).
 */
import type { Value } from "../ir/graph.ts";
import { channelAt, type Span, type WeightSlot } from "./rescale.ts";

/** Rounds at most; chains of three layers need about ten. */
const ROUNDS = 100;
/** A round whose factors are all this close to 1 is the last one. */
const ENOUGH = 1e-3;

/** s [channels] of each span, for `moveScales`; 1 for channels that no weight makes or reads. */
export function evenScales(spans: readonly Span[]): Map<Span, Float64Array> {
  const sizes = new Map<Value, Float64Array>();
  const parts = spans.map((span) => ({
    total: new Float64Array(span.channels).fill(1),
    made: span.makers.map(side),
    read: span.readers.map(side),
  }));
  for (let round = 0, moved = 1; round < ROUNDS && moved > ENOUGH; round++) {
    moved = 0;
    for (const { total, made, read } of parts) {
      const [r1, r2] = [rangesOf(made, total.length), rangesOf(read, total.length)];
      const s = r1.map((r, c) => (r > 0 && r2[c] > 0 ? Math.sqrt(r / r2[c]) : 1));
      for (const [c, factor] of s.entries()) {
        total[c] *= factor;
        moved = Math.max(moved, Math.abs(factor - 1));
      }
      const inverse = s.map((factor) => 1 / factor);
      for (const each of made) multiply(each, inverse);
      for (const each of read) multiply(each, s);
    }
  }
  return new Map(parts.map(({ total }, i) => [spans[i], total]));

  /** One side of a span: |w| of its weight, shared with other spans, and each one's channel. */
  function side(slot: WeightSlot): Side {
    const value = slot.node.inputs[slot.index] as Value;
    const weight = sizes.get(value) ?? Float64Array.from(value.tensor?.floats() ?? [], Math.abs);
    sizes.set(value, weight);
    const channel = channelAt(slot, value.shape as number[]);
    return { weight, channels: Int32Array.from(weight, (_, i) => channel(i)) };
  }
}

interface Side {
  readonly weight: Float64Array;
  readonly channels: Int32Array;
}

function rangesOf(sides: readonly Side[], count: number): Float64Array {
  const largest = new Float64Array(count);
  for (const { weight, channels } of sides) {
    for (const [i, c] of channels.entries()) largest[c] = Math.max(largest[c], weight[i]);
  }
  return largest;
}

function multiply({ weight, channels }: Side, factors: Float64Array): void {
  for (const [i, c] of channels.entries()) weight[i] *= factors[c];
}
