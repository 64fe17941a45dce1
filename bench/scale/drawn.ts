/** @file Weights that are drawn when they are read, so that a model of any size takes no memory. */
import { Tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";

let seeds = 1;

/** A float32 tensor whose numbers are drawn when they are read: a tile of 2^16, shifted by its seed. */
export function drawn(shape: readonly number[], spread: number): Tensor {
  const seed = seeds++;
  const size = shape.reduce((a, b) => a * b, 1);
  return new Tensor("float32", shape, () => {
    const random = createRandom(seed);
    const tile = Float32Array.from(
      { length: Math.min(size, 2 ** 16) },
      () => spread * random.normal(),
    );
    const all = new Float32Array(size);
    for (let at = 0, k = 0; at < size; at += tile.length, k++) {
      const part = tile.subarray(0, Math.min(tile.length, size - at));
      all.set(part, at);
      all[at] += 1e-3 * k;
    }
    return new Uint8Array(all.buffer);
  });
}
