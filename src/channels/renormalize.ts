/** @file Measures the statistics of BatchNormalization again, after pruning changed its inputs. */

import type { Context } from "../context.ts";
import { spreadsOf } from "../evidence/pooled.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { reads } from "../ir/sort.ts";
import { tensor } from "../ir/tensor.ts";
import { inferModel } from "../ops/infer.ts";
import { type Norm, normOf } from "../ops/norms.ts";

/** A normalization with constant running statistics, and the inputs that hold them. */
interface Layer {
  readonly node: Node;
  readonly value: Value;
  readonly axis: number;
  readonly statistics: NonNullable<Norm["statistics"]>;
}

/**
 * Sets the running means and variances to those of the calibration records, in place. All records
 * count alike, whatever batches they come in.
 *
 * What a normalization reads depends on those before it. So these are measured first: one pass over
 * the records for each level, which are the normalizations with equally many others before them. If
 * none is left (convolutions took them in, say), nothing changes and a warning says so.
 */
export async function renormalize(model: Model, context: Context, records?: number): Promise<void> {
  inferModel(model);
  const levels = levelsOf(model);
  if (levels.length === 0) {
    context.warn("no BatchNormalization is left to measure anew: try repair=least-squares");
    return;
  }
  for (const layers of levels) {
    const spreads = await spreadsOf(model, layers, context.observe, records);
    for (const [{ node, statistics }, { mean, variance }] of spreads) {
      store(node, statistics.mean, mean);
      store(node, statistics.variance, variance);
    }
  }
}

/** The normalizations of the main graph by the number of others on the longest way to them. */
function levelsOf(model: Model): Layer[][] {
  const levels: Layer[][] = [];
  const depths = new Map<Value, number>();
  for (const node of model.graph.sorted()) {
    let depth = 0;
    for (const value of reads(node)) depth = Math.max(depth, depths.get(value) ?? 0);
    const layer = layerOf(node);
    if (layer) {
      levels[depth] = [...(levels[depth] ?? []), layer];
      depth++;
    }
    for (const output of node.outputs) if (output) depths.set(output, depth);
  }
  return levels;
}

function layerOf(node: Node): Layer | null {
  const statistics = normOf(node)?.statistics;
  const [value] = node.inputs;
  if (!statistics || !value?.shape || node.int("training_mode", 0) === 1) return null;
  const { mean, variance } = statistics;
  const isConstant = [mean, variance].every((index) => node.inputs[index]?.tensor);
  return isConstant ? { node, value, axis: 1, statistics } : null;
}

/** Gives the node statistics of its own, since several may share those that it has. */
function store(node: Node, index: number, values: Float64Array): void {
  const old = node.inputs[index] as Value;
  const { graph, tensor: before } = old;
  if (!before) return;
  node.setInput(index, graph.addConstant(old.name, tensor(before.dtype, before.shape, values)));
  if (old.uses.size === 0) graph.removeConstant(old);
}
