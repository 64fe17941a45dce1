/** @file The number of parameters of a model: a in the survey's compression rate alpha = a / a*. */
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { type ModelCost, storedOf } from "../ops/cost.ts";
import { weightsOf } from "../ops/weights.ts";
import { product } from "../util/product.ts";
import { countOf } from "../weights/count.ts";
import { readWeight } from "../weights/read.ts";

/** Numbers that a model's file stores for its weights, biases and normalizations. */
export interface Params {
  readonly params: number;
  /** Those that are not zero. */
  readonly nonzeros: number;
  /** Those that a node reads, shared ones included. */
  of(node: Node): number;
}

/**
 * Counts the stored numbers of the weights (see `countOf`) and what else layers read, each once
 * however often it is shared. `cost` is that of the model; it counts weights by the elements that
 * they decode to.
 */
export function countParams(model: Model, cost: ModelCost): Params {
  const seen = new Set<unknown>();
  const tensors = new Set<Tensor>();
  const less = new Map<Node, number>();
  let [params, zeros] = [cost.params, 0];
  for (const { node, value } of weightsOf(model)) {
    const weight = readWeight(value);
    if (!weight) continue;
    const size = product(weight.shape);
    less.set(node, (less.get(node) ?? 0) + size - countOf(weight).numbers);
    const stored = storedOf(value);
    if (seen.has(stored)) continue;
    seen.add(stored);
    const count = countOf(weight, tensors);
    params -= size - count.numbers;
    zeros += count.zeros;
  }
  const of = (node: Node) => (cost.perNode.get(node)?.params ?? 0) - (less.get(node) ?? 0);
  return { params, nonzeros: params - zeros, of };
}
