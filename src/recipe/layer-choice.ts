/** @file Steps limited to some layers: to one alone, or to all but some. */
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { weightsOf } from "../ops/weights.ts";
import { globToRegExp } from "../util/glob.ts";
import type { Step } from "./steps.ts";

/** Which layers a step works on. */
export interface Choice {
  readonly only: readonly string[];
  readonly except: readonly string[];
}

/** All layers. */
export const everything: Choice = { only: [], except: [] };

/** The steps, limited to some layers. */
export const limited = (steps: readonly Step[], choice: Choice): Step[] =>
  steps.map((step) =>
    step.method.packs ? step : { ...step, options: { ...step.options, ...choice } },
  );

/** The step, which then keeps to its layers whatever that costs. */
export const withoutRescue = (step: Step): Step =>
  "rescue" in step.options ? { ...step, options: { ...step.options, rescue: false } } : step;

/** The layers with weights, each once. */
export const layersOf = (model: Model): Node[] => [
  ...new Set(weightsOf(model).map(({ node }) => node)),
];

/** The choice of these layers. Their names are read as globs, which may match other layers, too. */
export function alone(nodes: readonly Node[], layers: readonly Node[]): Choice {
  const only = nodes.map(({ name }) => name);
  const others = passing(layers, { only, except: [] }).filter((other) => !nodes.includes(other));
  return { only, except: others.map(({ name }) => name) };
}

/** Those of the layers that pass both lists; a glob that matches none is no error here. */
export function passing(layers: readonly Node[], { only, except }: Choice): Node[] {
  const matches = (node: Node, globs: readonly string[]) =>
    globs.map(globToRegExp).some((pattern) => pattern.test(node.name) || pattern.test(node.op));
  return layers.filter(
    (node) => (only.length === 0 || matches(node, only)) && !matches(node, except),
  );
}
