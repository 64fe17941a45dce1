/** @file BatchNormalization in training: statistics of the batch, and the running statistics. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Builder, build } from "../ops/builder.ts";
import { inferModel, inferNode } from "../ops/infer.ts";
import { keepsStatistics } from "../ops/norms.ts";

/** One normalization in training mode; all vectors are [channels]. */
export interface BatchNorm {
  readonly node: Node;
  /** The mean of the batch, and its biased variance (divided by the count, not by count - 1). */
  readonly mean: Value;
  readonly variance: Value;
  /** The constants by which inference normalizes. The training graph no longer reads them. */
  readonly runningMean: Value;
  readonly runningVariance: Value;
  /** running = momentum * running + (1 - momentum) * batch. */
  readonly momentum: number;
  /** Elements of one channel in a batch; null where sizes are not known. */
  readonly count: number | null;
}

/**
 * Makes every `chosen` BatchNormalization of the main graph with constant statistics normalize by
 * its batch, in place.
 *
 * The engine's kernel writes the new statistics into the buffers of the old ones, even if other
 * nodes read these too. So each node gets two scratch inputs of its own: products of x, which
 * constant folding cannot compute, with a number that no other node has, so that equal nodes are
 * not merged. With momentum 0 their contents do not matter.
 */
export function toTrainingMode(
  model: Model,
  chosen: (node: Node) => boolean = () => true,
): BatchNorm[] {
  inferModel(model);
  const layers: BatchNorm[] = [];
  for (const node of model.graph.sorted()) {
    const [x, scale, bias, runningMean, runningVariance] = node.inputs;
    if (!keepsStatistics(node) || !chosen(node)) continue;
    if (node.int("training_mode", 0) === 1 || !x?.shape || !scale || !bias) continue;
    if (!runningMean?.tensor || !runningVariance?.tensor) continue;
    const g = build(model.graph, node.name, inferNode);
    const sample = firstOfChannel(g, x, x.shape.length);
    const scratch = [1, 2].map((i) => {
      const unique = g.constant(2 * layers.length + i, { dtype: x.dtype ?? "float32" });
      return g.Mul(sample, unique);
    });
    const epsilon = node.float("epsilon", 1e-5);
    const [y, mean, variance] = g.many(node.op, [x, scale, bias, ...scratch], {
      outputs: 3,
      attributes: { epsilon, momentum: 0, training_mode: 1 },
    });
    model.graph.replace(node.output, y);
    model.graph.remove(node);
    const others = x.shape.filter((_, axis) => axis !== 1);
    const isKnown = others.every((dim) => typeof dim === "number");
    layers.push({
      node: y.producer as Node,
      mean,
      variance,
      runningMean,
      runningVariance,
      momentum: node.float("momentum", 0.9),
      count: isKnown ? others.reduce<number>((a, b) => a * (b as number), 1) : null,
    });
  }
  return layers;
}

/** One element of each channel: [N, C, ...] -> [C]. */
function firstOfChannel(g: Builder, x: Value, rank: number): Value {
  const axes = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
  const [starts, stops] = [0, 1].map((at) => g.ints(axes.map(() => at)));
  const first = g.Slice(x, starts, stops, g.ints(axes, "axes"));
  return g.Reshape(first, g.ints([-1], "shape"));
}

/**
 * Updates running statistics by one more batch, in place. Like PyTorch, and unlike the operator
 * itself, it multiplies the variance by count / (count - 1), which makes it unbiased.
 */
export function updateRunning(
  running: { readonly mean: Float32Array; readonly variance: Float32Array },
  batch: { readonly mean: ArrayLike<number>; readonly variance: ArrayLike<number> },
  { momentum, count }: { readonly momentum: number; readonly count: number },
): void {
  const unbiased = count / Math.max(count - 1, 1);
  const { mean, variance } = running;
  for (let c = 0; c < mean.length; c++) {
    mean[c] = momentum * mean[c] + (1 - momentum) * batch.mean[c];
    variance[c] = momentum * variance[c] + (1 - momentum) * unbiased * batch.variance[c];
  }
}

/**
 * The statistics of a batch from those of its chunks, whose `shares` of the records add up to 1. In
 * each vector a layer's means are followed by its biased variances. With the mean m of all chunks,
 *   variance = sum of share * (variance of the chunk + (mean of the chunk - m)^2)
 * which is exactly that of all records together.
 */
export function mergeStatistics(
  chunks: readonly Float32Array[],
  shares: readonly number[],
  layers: readonly { readonly channels: number }[],
): Float32Array {
  if (chunks.length === 1) return chunks[0];
  const merged = new Float32Array(chunks[0].length);
  let at = 0;
  for (const { channels } of layers) {
    for (let c = at; c < at + channels; c++) {
      const mean = chunks.reduce((sum, chunk, k) => sum + shares[k] * chunk[c], 0);
      const spread = (chunk: Float32Array): number => chunk[c + channels] + (chunk[c] - mean) ** 2;
      merged[c] = mean;
      merged[c + channels] = chunks.reduce((sum, chunk, k) => sum + shares[k] * spread(chunk), 0);
    }
    at += 2 * channels;
  }
  return merged;
}
