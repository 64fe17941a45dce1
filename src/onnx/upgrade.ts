/** @file Converts a model from an older ai.onnx operator set to OPSET, operator by operator. */
import { errors, fail } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { schemaOf } from "../ops/schema.ts";
import type { Adapter, Facts } from "./adapter.ts";
import { modernAdapters } from "./adapters.ts";
import { legacyAdapters } from "./adapters-legacy.ts";
import { createFacts } from "./facts.ts";

/** The operator set that tersor works in. */
export const OPSET = 21;
/** The newest operator set that tersor knows. */
const newest = 25;

/** What an upgrade needs beside the model. */
export interface UpgradeOptions {
  /** The model's name, for errors. */
  readonly where: string;
  /**
   * The operator set of each node that does not follow the model's, because it comes from
   * an inlined function.
   */
  readonly versions: ReadonlyMap<Node, number>;
}

/**
 * Rewrites nodes of operator sets older than OPSET. A newer model keeps its own operator set, up to
 * 25. Throws TersorError "unsupported-opset", which names the node that cannot be converted.
 */
export function upgrade(model: Model, { where, versions }: UpgradeOptions): void {
  for (const version of [model.opset, ...versions.values()]) {
    if (Number.isInteger(version) && version >= 1 && version <= newest) continue;
    throw fail(errors.unsupportedOpset(where, `uses the ai.onnx operator set ${version}`));
  }
  const facts = createFacts();
  for (const graph of [...model.graph.walk()]) {
    for (const node of graph.sorted()) {
      facts.learn(node);
      if (node.domain === "") upgradeNode(node, versions.get(node) ?? model.opset, facts, where);
    }
  }
  raiseOpset(model, Math.max(OPSET, ...versions.values()));
}

/** Applies the operator's adapters in order, starting at `version`. */
function upgradeNode(node: Node, version: number, facts: Facts, where: string): void {
  const { name, op } = node;
  const refuse = (why: string, cause?: unknown): Error =>
    fail(errors.unsupportedOpset(`${where}: node "${name}"`, why), cause);
  if (version < 7 && !schemaOf(op) && adaptersOf(op).length === 0) {
    throw refuse(`${op} of operator set ${version} is not known`);
  }
  if (version < 6) node.set("consumed_inputs", null);
  let current = node;
  let at = version;
  for (;;) {
    const next = adaptersOf(current.op).find(({ before }) => before > at);
    if (!next) return;
    try {
      current = next.apply(current, facts);
    } catch (cause) {
      const why = (cause as Error).message;
      throw refuse(`${op} of operator set ${version} cannot be brought to ${OPSET}: ${why}`, cause);
    }
    at = next.before;
  }
}

/** The adapters of an operator, oldest change first. */
function adaptersOf(op: string): readonly Adapter[] {
  const own = (table: typeof modernAdapters): readonly Adapter[] =>
    (Object.hasOwn(table, op) && table[op]) || [];
  return [...own(legacyAdapters), ...own(modernAdapters)];
}

/** The IR version that came with each operator set. Readers may refuse an older one. */
const irVersions: readonly (readonly [opset: number, ir: number])[] = [
  [21, 10],
  [23, 11],
  [24, 12],
  [25, 13],
];

/**
 * Declares a newer operator set, for methods that use its operators (2-bit integers need 25). From
 * 21 to 25 no operator changed its meaning, so the nodes stay as they are.
 */
export function raiseOpset(model: Model, version: number): void {
  model.opset = Math.max(model.opset, version);
  for (const [opset, ir] of irVersions) {
    if (model.opset >= opset) model.irVersion = Math.max(model.irVersion, ir);
  }
}
