/** @file BatchNormalization's statistics measured anew: what the layers before it give has changed. */

import type { Context } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { tensor } from "../ir/tensor.ts";
import { toTrainingMode } from "../train/batch-norm.ts";

/**
 * Running means and variances become the averages over batches of calibration records, in one pass: each
 * layer normalizes by its own batch, so those behind it read what they will read. Without such layers, as
 * where they are folded into convolutions, nothing happens and a warning says so.
 */
export async function renormalize(model: Model, context: Context, records?: number): Promise<void> {
  const twins = new Map<Value, Value>();
  const copy: Model = { ...model, graph: cloneGraph(model.graph, twins) };
  const originals = new Map([...twins].map(([original, twin]) => [twin, original]));
  const layers = toTrainingMode(copy);
  if (layers.length === 0) {
    context.warn("no BatchNormalization is left to measure anew: try repair=least-squares");
    return;
  }
  const taps = layers.flatMap(({ mean, variance, runningMean, runningVariance }) => [
    { value: mean, running: runningMean },
    { value: variance, running: runningVariance },
  ]);
  const sums = new Map(taps.map((tap) => [tap, { total: new Float64Array(), batches: 0 }]));
  await context.observe(
    copy,
    taps,
    (tap, batch) => {
      const sum = sums.get(tap);
      if (!sum) return;
      if (sum.batches++ === 0) sum.total = new Float64Array(batch.size);
      for (const [i, x] of batch.floats().entries()) sum.total[i] += x;
    },
    records,
  );
  for (const [{ running }, { total, batches }] of sums) {
    const original = originals.get(running);
    if (batches === 0 || !original?.tensor) continue;
    const values = total.map((x) => x / batches);
    const { dtype, shape } = original.tensor;
    original.graph.setConstant(original, tensor(dtype, shape, values));
  }
}
