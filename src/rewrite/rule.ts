/** @file What a rewrite rule is. */
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import type { InForms } from "../weights/in-forms.ts";

/**
 * What a rule did to a node: values that take the place of the node's outputs (its own ones when it
 * was edited in place), null where the rule does not apply, or the reason why it almost did.
 */
export type Rewritten = Value | readonly Value[] | null | string;

interface Declared {
  readonly id: string;
  /** What becomes what, in one line. */
  readonly doc: string;
  /**
   * Takes away what training needs, such as normalization by batches: a model that is to be trained
   * is rewritten without the rule, and with it once the training is over.
   */
  readonly afterTraining?: true;
}

/** A rule about one node and its surroundings. */
export interface NodeRule extends Declared {
  /** Operators of the node that `apply` is asked about; "any" for all of them. */
  readonly roots: readonly string[] | "any";
  /** Builds what replaces `node` with `g`. Does not remove anything: what is left unread goes. */
  apply(node: Node, g: Builder): Rewritten;
}

/** A rule about a whole graph: gives the name of everything it took out. */
export interface GraphRule extends Declared {
  sweep(graph: Graph, kept: InForms): readonly string[];
}

export type Rule = NodeRule | GraphRule;

export function defineRule<const R extends Rule>(rule: R): R {
  return rule;
}
