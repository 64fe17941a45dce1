/** @file Measures the statistics of BatchNormalization again, after pruning changed its inputs. */

import type { Context } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { tensor } from "../ir/tensor.ts";
import { toTrainingMode } from "../train/batch-norm.ts";

/**
 * Sets the running means and variances to averages over batches of calibration records, in place.
 *
 * One pass is enough: a copy of the model runs in training mode, where each normalization uses its
 * own batch, so every layer reads inputs that are normalized as they will be later. If no such
 * normalization is left (convolutions took them in, say), nothing changes and a warning says so.
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
