/** @file Applies rules to every node of a model until none changes anything. */
import { errors, fail, TersorError } from "../errors.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { build } from "../ops/builder.ts";
import { inferModel } from "../ops/infer.ts";
import { keyOf } from "../ops/table.ts";
import { type InForms, inForms } from "../weights/in-forms.ts";
import { sweepFrom } from "./drop-dead.ts";
import type { GraphRule, NodeRule, Rule } from "./rule.ts";

/** What rewriting did. */
export interface RewriteReport {
  /** The applied rules in order; `node` is the node at which the rule was applied. */
  readonly applied: readonly { readonly rule: string; readonly node: string }[];
  /** The rules that could not be applied to the final model, with the reasons. */
  readonly refused: readonly {
    readonly rule: string;
    readonly node: string;
    readonly reason: string;
  }[];
  /** Passes over the model, including the last one, which changed nothing. */
  readonly rounds: number;
}

/**
 * A safeguard that is never reached: every rule makes the graph smaller or moves something
 * towards the outputs.
 */
const maxRounds = 100;
/** The same for the changes of one node in one round. */
const maxVisits = 100;

/** Applies `rules` to `model` in place. Throws TersorError "aborted". */
export function applyRules(
  model: Model,
  rules: readonly Rule[],
  signal: AbortSignal | null,
): RewriteReport {
  const applied: RewriteReport["applied"][number][] = [];
  const refused = new Map<string, RewriteReport["refused"][number]>();
  const nodeRules = rules.filter((rule): rule is NodeRule => "apply" in rule);
  const graphRules = rules.filter((rule): rule is GraphRule => "sweep" in rule);
  const byOp = new Map<string, readonly NodeRule[]>();
  const rulesFor = (op: string): readonly NodeRule[] => {
    let found = byOp.get(op);
    if (!found) {
      found = nodeRules.filter(({ roots }) => roots === "any" || roots.includes(op));
      byOp.set(op, found);
    }
    return found;
  };

  /** Applies the first rule that changes the node; returns whether there was one. */
  function visit(node: Node): boolean {
    for (const rule of rulesFor(keyOf(node))) {
      const outcome = applyTo(node, rule);
      if (outcome === null) continue;
      if (typeof outcome === "string") {
        const refusal = { rule: rule.id, node: node.name, reason: outcome };
        refused.set(Object.values(refusal).join("\n"), refusal);
      } else if (settle(node, listOf(outcome))) {
        applied.push({ rule: rule.id, node: node.name });
        // A rule may have given a weight in a form another one, whose nodes are not known yet.
        if (found && found.nodes.size > 0 && rule.afterTraining) found = null;
        return true;
      }
    }
    return false;
  }

  // Weights in compressed form stay: the engine decodes them when it loads the model.
  let found: InForms | null = null;
  const kept = (): InForms => {
    found ??= inForms(model);
    return found;
  };
  for (let rounds = 1; ; rounds++) {
    const before = applied.length;
    refused.clear();
    for (const { id, sweep } of graphRules) {
      for (const graph of graphsOf(model)) {
        applied.push(...sweep(graph, kept).map((node) => ({ rule: id, node })));
      }
    }
    inferModel(model);
    for (const graph of graphsOf(model)) {
      for (const node of graph.sorted()) {
        if (signal?.aborted) throw fail(errors.aborted("rewrite"), signal.reason);
        if (nodeRules.length === 0 || kept().nodes.has(node)) continue;
        // A rule may have removed the node, or the If whose body it is in.
        const isThere = () => isAttached(node.graph) && graph.nodes.has(node);
        for (let i = 0; i < maxVisits && isThere() && visit(node); i++);
      }
    }
    if (applied.length === before || rounds === maxRounds) {
      nameApart(model.graph);
      return { applied, refused: [...refused.values()], rounds };
    }
  }
}

/**
 * Applies a rule to a node. Rules do not check operands and attributes, so any other error means
 * that those do not fit the operator, and becomes TersorError "bad-operands".
 */
function applyTo(node: Node, rule: NodeRule): ReturnType<NodeRule["apply"]> {
  try {
    return rule.apply(node, build(node.graph, node.name));
  } catch (cause) {
    if (cause instanceof TersorError) throw cause;
    const why = `${rule.id}: ${node.op} has inputs or attributes that do not fit`;
    throw fail(errors.badOperands(node.name, why), cause);
  }
}

const listOf = (outcome: Value | readonly Value[]): readonly Value[] =>
  Array.isArray(outcome) ? outcome : [outcome as Value];

/**
 * Replaces the outputs of the node by `values`. Returns false if that is impossible because the
 * node gives a graph output.
 */
function settle(node: Node, values: readonly Value[]): boolean {
  const { graph } = node;
  const pairs = values
    .map((value, i) => ({ old: node.outputs[i], value }))
    .filter(({ old, value }) => old !== value);
  if (!pairs.every(({ old, value }) => graph.replaceable(old, value))) {
    for (const { value } of pairs) discard(value);
    return false;
  }
  for (const { old, value } of pairs) graph.replace(old, value);
  if (pairs.length > 0) sweepFrom(node);
  return true;
}

/** Removes a value that was built but is not used. */
function discard(value: Value): void {
  if (value.producer) sweepFrom(value.producer);
  else if (value.tensor && value.uses.size === 0) value.graph.removeConstant(value);
}

const graphsOf = (model: Model): readonly Graph[] => [...model.graph.walk()];

/** Whether the graph is the main graph or a body within it. */
function isAttached({ owner }: Graph): boolean {
  return !owner || (owner.graph.nodes.has(owner) && isAttached(owner.graph));
}

/** Gives nodes unique names, by which the engine and the reports refer to them. */
function nameApart(root: Graph): void {
  const taken = new Set<string>();
  /** The number that was given last after a name, so that many equal names take no longer. */
  const last = new Map<string, number>();
  for (const graph of root.walk()) {
    for (const node of graph.nodes) {
      let name = node.name;
      for (let i = last.get(node.name) ?? 1; taken.has(name); i++) {
        name = `${node.name}_${i}`;
        last.set(node.name, i);
      }
      taken.add(name);
      node.name = name;
    }
  }
}
