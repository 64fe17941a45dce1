/** @file The type of a rewrite rule. */
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import type { InForms } from "../weights/in-forms.ts";

/**
 * The outcome of a rule at a node: the values that replace the node's outputs (its own outputs if
 * it was edited in place), null where the rule does not apply, or the reason why it cannot be
 * applied where it otherwise would.
 */
export type Rewritten = Value | readonly Value[] | null | string;

interface Declared {
  readonly id: string;
  /** What is rewritten into what, in one line. */
  readonly doc: string;
  /**
   * The rule removes what training needs, such as batch normalization. A model that will be trained
   * is rewritten without the rule, and with it after the training.
   */
  readonly afterTraining?: true;
}

/** A rule about one node and the nodes around it. */
export interface NodeRule extends Declared {
  /** The operators of the nodes at which `apply` is called; "any" for all. */
  readonly roots: readonly string[] | "any";
  /**
   * Builds the replacement of `node` with `g`. It removes no nodes: those that nothing reads any
   * more are removed afterwards.
   */
  apply(node: Node, g: Builder): Rewritten;
}

/**
 * A rule about a whole graph. `sweep` returns the names of what it removed; `kept` are the weights
 * in compressed form, which stay as they are.
 */
export interface GraphRule extends Declared {
  sweep(graph: Graph, kept: () => InForms): readonly string[];
}

export type Rule = NodeRule | GraphRule;

/** A rule with its literal types, which the table of rules needs. */
export function defineRule<const R extends Rule>(rule: R): R {
  return rule;
}
