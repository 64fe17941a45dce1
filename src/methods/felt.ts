/** @file Felt: how far a model's outputs move when something in it changes. */
import type { Model } from "../ir/model.ts";
import type { Observe } from "./method.ts";

/** What the calibration records give at each output, one after the other; about `records` of them. */
export async function outputsOf(
  model: Model,
  records: number,
  observe: Observe,
): Promise<Float32Array[]> {
  const taps = model.graph.outputs.map((value) => ({ value, batches: [] as Float32Array[] }));
  await observe(
    model,
    taps,
    ({ batches }, batch) => void batches.push(batch.floats().slice()),
    records,
  );
  return taps.map(({ batches }) => {
    const all = new Float32Array(batches.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const batch of batches) {
      all.set(batch, at);
      at += batch.length;
    }
    return all;
  });
}

/** |y' - y|^2 / |y|^2 over all outputs. */
export function distance(
  expected: readonly Float32Array[],
  actual: readonly Float32Array[],
): number {
  let [error, energy] = [0, 0];
  for (const [i, batch] of expected.entries()) {
    for (let k = 0; k < batch.length; k++) {
      error += (actual[i][k] - batch[k]) ** 2;
      energy += batch[k] ** 2;
    }
  }
  return error / (energy || 1);
}
