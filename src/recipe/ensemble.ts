/** @file Ensemble: several models for the same inputs in one, which teach by the mean of what they say. */
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { cloneModel, copyNodes, type Model } from "../ir/model.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { sha256Text } from "../util/sha256.ts";
import type { Loaded } from "./load.ts";

/** The metadata key under which an ensemble records of how many models it is made. */
const membersKey = "tersor.members";

/** Of how many models this one is made: 1, unless `ensemble` made it. */
export const membersOf = ({ metadata }: Model): number => Number(metadata.get(membersKey) ?? 1);

/** The outputs of each member. Those of the first one, and its nodes, keep their names. */
export function outputsOfMembers(model: Model): readonly (readonly Value[])[] {
  const { outputs } = model.graph;
  const count = membersOf(model);
  const own = outputs.length / count;
  return Array.from({ length: count }, (_, i) => outputs.slice(i * own, (i + 1) * own));
}

/**
 * One teacher of several: a model that has the outputs of all. What it teaches is the mean over its
 * members, of their probabilities where the loss compares those, else of their outputs. Inputs are
 * matched by their names, or by their order where some name differs. Throws TersorError "bad-option"
 * for models with other numbers of inputs or outputs than the first one.
 */
export async function ensemble(all: readonly Loaded[]): Promise<Loaded> {
  const [first, ...others] = all;
  if (!first) throw fail(errors.badOption("teacher", "there is none", "Give one model or more"));
  if (others.length === 0) return first;
  const model = cloneModel(first.model);
  for (const [i, { model: other, name }] of others.entries()) join(model, other, i + 2, name);
  model.metadata.set(membersKey, String(all.length));
  const bytes = concat(writeModel(model));
  return {
    name: all.map(({ name }) => name).join(","),
    ...{ model, source: { bytes }, bytes: bytes.length, packed: null, opset: model.opset },
    hash: await sha256Text(all.map(({ hash }) => hash).join()),
  };
}

/** Adds the nodes and the outputs of `other`, member number `number`, to the model. */
function join(model: Model, other: Model, number: number, name: string): void {
  const { graph } = model;
  const own = graph.outputs.length / (number - 1);
  const [inputs, outputs] = [other.graph.inputs.length, other.graph.outputs.length];
  if (inputs !== graph.inputs.length || outputs !== own) {
    const why = `${name} has ${inputs} inputs and ${outputs} outputs, the first model ${graph.inputs.length} and ${own}`;
    throw fail(errors.badOption("teacher", why, "Give models for the same inputs and classes"));
  }
  const named = new Map(graph.inputs.map((input) => [input.name, input]));
  const isNamed = other.graph.inputs.every((input) => named.has(input.name));
  const twins = new Map(
    other.graph.inputs.map((input, i): [Value, Value] => [
      input,
      (isNamed && named.get(input.name)) || graph.inputs[i],
    ]),
  );
  const before = new Set(graph.nodes);
  copyNodes(other.graph, graph, twins);
  for (const node of graph.nodes) if (!before.has(node)) node.name = `member${number}/${node.name}`;
  const found = other.graph.outputs.map((output) => twins.get(output) as Value);
  for (const output of found) output.name = `member${number}/${output.name}`;
  graph.setOutputs([...graph.outputs, ...found]);
  for (const [domain, version] of other.domains) model.domains.set(domain, version);
  model.opset = Math.max(model.opset, other.opset);
  model.irVersion = Math.max(model.irVersion, other.irVersion);
}
