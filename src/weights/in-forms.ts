/** @file Which nodes and constants belong to forms, so that rewriting leaves them alone. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { inferModel } from "../ops/infer.ts";
import { weightsOf } from "../ops/weights.ts";
import type { Part } from "./form.ts";
import { matchForm, shapeOf } from "./match-form.ts";

export interface InForms {
  /**
   * The nodes that compute weights from their parts, and unpack the parts. Folding them would make
   * a small file large again.
   */
  readonly nodes: ReadonlySet<Node>;
  /** Stored parts that learn. Two equal ones must not be merged, or training would tie them. */
  readonly thetas: ReadonlySet<Value>;
}

/** The nodes and parts of all weights of the model that are stored in a form. */
export function inForms(model: Model): InForms {
  inferModel(model);
  const nodes = new Set<Node>();
  const thetas = new Set<Value>();
  const follow = (value: Value, part: Part | null): void => {
    const found = value.tensor ? null : matchForm(value, shapeOf(value), true);
    if (!found) {
      if (part) unpacking(value);
      if (part?.learns && value.tensor) thetas.add(value);
      return;
    }
    for (const node of found.nodes) nodes.add(node);
    for (const [name, at] of Object.entries(found.parts)) follow(at, found.form.theta[name]);
  };
  /** The nodes that unpack the numbers of a part: folding those of a small part saves nothing. */
  const unpacking = ({ producer }: Value): void => {
    if (!producer || nodes.has(producer)) return;
    nodes.add(producer);
    for (const input of producer.inputs) if (input) unpacking(input);
  };
  for (const { value } of weightsOf(model)) follow(value, null);
  return { nodes, thetas };
}
