/** @file The streams of a model: the residual one, and the values of each attention. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { linearOf } from "../ops/linear.ts";
import { hasTrait } from "../ops/traits.ts";
import { isConstantExpression, weightsOf } from "../ops/weights.ts";
import type { Skips } from "../weights/sites.ts";
import { blocksOf } from "./residual.ts";
import { type Stream, streamOf } from "./stream.ts";

/**
 * The streams that the sums x + f(x) of residual blocks belong to, over all of their features. The
 * first layer of a block that belongs to none is skipped with the reason.
 */
export function residualStreams(model: Model, chosen: ReadonlySet<Node>, notes: Skips): Stream[] {
  const layers = new Set(weightsOf(model).map(({ node }) => node));
  const starts = blocksOf(model, layers).map((block) => ({
    value: block.sum.output,
    layers: block.layers,
  }));
  return distinct(starts, chosen, notes);
}

/**
 * The streams of the values that attention averages, P V with P from a softmax: in blocks of the
 * features of one head, so that the same matrix multiplies all heads.
 */
export function valueStreams(model: Model, chosen: ReadonlySet<Node>, notes: Skips): Stream[] {
  const products = model.graph.sorted().filter((node) => {
    const isProduct = linearOf(node)?.kind === "product" && activationsOf(node).length === 2;
    return isProduct && hasTrait(node.inputs[0]?.producer, "probabilities");
  });
  const layers = new Set(weightsOf(model).map(({ node }) => node));
  const starts = products.map((node) => {
    const value = node.inputs[1] as Value;
    return { value, layers: [...layersBefore(value, layers)] };
  });
  return distinct(starts, chosen, notes);
}

/** The nearest layers in front of a value. */
function layersBefore(value: Value, layers: ReadonlySet<Node>): Set<Node> {
  const found = new Set<Node>();
  const seen = new Set<Value>([value]);
  // The set grows while it is walked.
  for (const { producer } of seen) {
    if (!producer) continue;
    if (layers.has(producer)) found.add(producer);
    else for (const input of producer.inputs) if (input) seen.add(input);
  }
  return found;
}

const activationsOf = (node: Node): Value[] =>
  node.inputs.filter((input): input is Value => input !== null && !isConstantExpression(input));

function distinct(
  starts: readonly { readonly value: Value; readonly layers: readonly Node[] }[],
  chosen: ReadonlySet<Node>,
  notes: Skips,
): Stream[] {
  const seen = new Set<Value>();
  return starts.flatMap(({ value, layers }) => {
    if (seen.has(value)) return [];
    const width = value.shape?.at(-1);
    const found =
      typeof width !== "number" || width < 2
        ? { reason: "the number of its features is not known", values: new Set([value]) }
        : streamOf(value, width, chosen);
    for (const each of found.values) seen.add(each);
    if ("readers" in found) return [found];
    const layer = layers.find((node) => chosen.has(node));
    if (layer) notes.skip(layer.name, found.reason);
    return [];
  });
}
