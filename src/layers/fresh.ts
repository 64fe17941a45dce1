/** @file A fresh start: the numbers of layers drawn anew, as in a network that was never trained. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import type { Random } from "../numeric/random.ts";
import { normOf } from "../ops/norms.ts";
import { biasOf, type WeightUse, weightsOf } from "../ops/weights.ts";

/**
 * Draws the weights of the chosen layers anew, uniformly with variance 2 / fan-in (He et al. 2015,
 * arXiv 1502.01852, eq. 10; fan-in: the numbers that one output sums over), those of embeddings
 * normally with the mean square that they have. Biases become 0, and batch normalizations
 * behind the layers what they are before training. Only plain float32 constants; `skip` hears of other weights. In place.
 */
export function startFresh(
  model: Model,
  chosen: ReadonlySet<Node>,
  random: Random,
  skip: (node: string, reason: string) => void,
): void {
  const done = new Set<Value>();
  for (const use of weightsOf(model)) {
    const { value, node } = use;
    if (!chosen.has(node) || done.has(value)) continue;
    done.add(value);
    if (value.tensor?.dtype !== "float32") {
      skip(node.name, "keeps its weights, which are no plain float32 constant");
      continue;
    }
    set(value, valuesOf(use, value.tensor, random.fork(node.name)));
    fill(biasOf(node), 0);
    for (const norm of node.output.consumers) resetNorm(norm);
  }
}

function valuesOf({ role }: WeightUse, weight: Tensor, random: Random): Float32Array {
  const { size, shape } = weight;
  if (role.kind === "embedding") {
    const square = weight.floats().reduce((sum, w) => sum + w * w, 0) / size;
    return Float32Array.from({ length: size }, () => Math.sqrt(square) * random.normal());
  }
  const outputs = shape[role.outputAxis] * (role.kind === "convtranspose" ? role.groups : 1);
  const bound = Math.sqrt((6 * outputs) / size);
  return Float32Array.from({ length: size }, () => bound * (2 * random.float() - 1));
}

/** Scale 1, shift 0, mean 0 and variance 1. */
function resetNorm(node: Node): void {
  const { scale, shift, statistics } = normOf(node) ?? {};
  const at = (index: number | undefined): Value | null =>
    index === undefined ? null : (node.inputs[index] ?? null);
  if (statistics === undefined) return;
  for (const value of [at(scale), at(statistics.variance)]) fill(value, 1);
  for (const value of [at(shift), at(statistics.mean)]) fill(value, 0);
}

function fill(value: Value | null, number: number): void {
  if (value?.tensor?.dtype === "float32") {
    set(value, new Float32Array(value.tensor.size).fill(number));
  }
}

const set = (value: Value, numbers: Float32Array): void =>
  value.graph.setConstant(value, tensor("float32", value.tensor?.shape ?? [], numbers));
