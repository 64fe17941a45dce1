/** @file Finds what the engine was meant to fuse but did not, in its trace of the optimized graph. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { constantExpressions } from "../ops/constant.ts";
import { int8KernelOf, isFloatLayer } from "../ops/int8.ts";
import { hasTrait } from "../ops/traits.ts";
import { weightsOf } from "../ops/weights.ts";
import { type Environment, isMeasured } from "./environment.ts";
import { type TimedNode, timeNodes } from "./time-nodes.ts";

/** Names of nodes by what the engine refused; a list is empty where it refused nothing. */
export interface Refused {
  /**
   * Layers whose weights come from a DequantizeLinear and that run with a float kernel. Such a layer
   * is small but slower than before: it dequantizes its weights at every run (docs/engine.md,
   * "Quantization").
   */
  readonly layers: readonly string[];
  /** Sums, pools, joins and gates between QuantizeLinear and DequantizeLinear that run in float. */
  readonly between: readonly string[];
  /** Integer products whose scales are multiplied in nodes of their own. */
  readonly products: readonly string[];
  /** Layers whose weights are computed from what is stored at every run, not once at load. */
  readonly decoded: readonly string[];
}

/** What the engine did not fuse in `model`. All lists are empty where it gives no trace. */
export async function refusedFusions(model: Model, env: Environment): Promise<Refused> {
  if (!isMeasured(env)) return none;
  const uses = weightsOf(model);
  const isQuantized = ({ node, value }: (typeof uses)[number]): boolean =>
    int8KernelOf(node)?.kind === "layer" && hasTrait(value.producer, "converts");
  const layers = new Set(uses.filter(isQuantized).map(({ node }) => node));
  const products = new Set(
    uses.filter(({ node }) => hasTrait(node, "straightThrough")).map(({ node }) => node),
  );
  const between = new Set(
    [...model.graph.walk()].flatMap((graph) => [...graph.nodes].filter(isBetween)),
  );
  const stored = new Set(uses.map(({ value }) => value).filter(({ tensor }) => !tensor));
  if (layers.size + products.size + between.size + stored.size === 0) return none;
  const timed = (await timeNodes(model, env)) ?? [];
  const names = (is: (timed: TimedNode & { readonly node: Node }) => boolean): string[] => [
    ...new Set(timed.flatMap((each) => (isFound(each) && is(each) ? [each.node.name] : []))),
  ];
  // A float kernel at a layer with int8 weights: no integer kernel was found for it.
  const unfused = names(({ node, op }) => layers.has(node) && isFloatLayer(op));
  const constants = new Set([...model.graph.walk()].flatMap((g) => [...constantExpressions(g)]));
  const running = new Set(
    timed.flatMap((each) =>
      isFound(each) && constants.has(each.node.output) ? each.node.output : [],
    ),
  );
  const decoded = uses.filter(
    ({ node, value }) => !unfused.includes(node.name) && needs(value, running, constants),
  );
  return {
    layers: unfused,
    between: names(({ node, op }) => between.has(node) && op === node.op),
    products: names(({ node, op }) => products.has(node) && op === node.op),
    decoded: [...new Set(decoded.map(({ node }) => node.name))],
  };
}

const none: Refused = { layers: [], between: [], products: [], decoded: [] };

const isFound = (timed: TimedNode): timed is TimedNode & { readonly node: Node } =>
  timed.node !== null;

/**
 * Whether all that the node reads and gives is rounded, and it has an integer kernel. Once a gate is
 * rounded its parts no longer look like one, so `joinsIntegers` would not tell.
 */
function isBetween(node: Node): boolean {
  if (int8KernelOf(node)?.kind !== "joins") return false;
  const { consumers, isOutput } = node.output;
  const reads = node.inputs.every((input) => !input || hasTrait(input.producer, "converts"));
  const gives = consumers.length > 0 && consumers.every((next) => hasTrait(next, "converts"));
  return reads && gives && !isOutput;
}

/** Whether a constant expression depends on one of the values that are computed at every run. */
function needs(value: Value, running: ReadonlySet<Value>, constants: ReadonlySet<Value>): boolean {
  const seen = new Set([value]);
  for (const at of seen) {
    if (running.has(at)) return true;
    if (!constants.has(at)) continue;
    for (const input of at.producer?.inputs ?? []) if (input) seen.add(input);
  }
  return false;
}

/** Warnings, one for each kind, that name up to five nodes. */
export function fusionWarnings({ layers, between, products, decoded }: Refused): string[] {
  const count = (names: readonly string[], what: string): string =>
    `${names.length} ${what}${names.length > 1 ? "s" : ""} (${shown(names)})`;
  return [
    ...(layers.length > 0
      ? [
          `the engine has no integer kernel for ${count(layers, "layer")}: leave them out with except=`,
        ]
      : []),
    ...(between.length > 0
      ? [
          `the engine computes ${count(between, "node")} between integer layers in float: ops=weighted rounds less`,
        ]
      : []),
    ...(products.length > 0
      ? [
          `the engine multiplies the scales of ${count(products, "integer product")} in nodes of their own`,
        ]
      : []),
    ...(decoded.length > 0
      ? [
          `the engine decodes the weights of ${count(decoded, "layer")} at every run, not once at load`,
        ]
      : []),
  ];
}

function shown(names: readonly string[]): string {
  const rest = names.length > 5 ? ` and ${names.length - 5} more` : "";
  return names.slice(0, 5).join(", ") + rest;
}
