/** @file Spill: what a step has made of a large model waits on disk until it is written. */
import type { Model } from "../ir/model.ts";
import { type ByteSource, Tensor } from "../ir/tensor.ts";
import type { Platform } from "../platform.ts";

/** Models with fewer bytes in external data are kept in memory whole. */
const LARGE = 2 ** 30;
/** Smaller tensors stay in memory. */
const SMALLEST = 2 ** 16;

/**
 * A function that moves the constants of `model` that are in memory to disk, from which they are read
 * when they are asked for. It does nothing where the model's own weights are in memory anyway, or where
 * there is no room. Large models are compressed weight by weight with it, in the memory of a few.
 */
export function createSpill(model: Model, platform: Platform): () => void {
  const constants = () => [...model.graph.walk()].flatMap(({ constants }) => [...constants]);
  let bytes = 0;
  for (const { tensor } of constants()) bytes += tensor?.isInFile ? tensor.byteLength : 0;
  const scratch = bytes < LARGE ? null : (platform.scratch?.() ?? null);
  if (!scratch) return () => {};
  const kept = new WeakMap<Tensor, Tensor>();
  return () => {
    for (const value of constants()) {
      const { tensor } = value;
      if (!tensor || tensor.isInFile || tensor.strings || tensor.byteLength < SMALLEST) continue;
      const moved = kept.get(tensor) ?? movedTo(tensor, scratch.keep(tensor.bytes()));
      kept.set(tensor, moved);
      value.graph.setConstant(value, moved);
    }
  };
}

const movedTo = ({ dtype, shape, byteLength }: Tensor, source: ByteSource): Tensor =>
  new Tensor(
    dtype,
    shape,
    (length = byteLength, from = 0, into) => source.read(from, length, into),
    null,
    true,
  );
