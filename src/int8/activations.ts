/** @file Puts QuantizeLinear and DequantizeLinear around the activations that int8 kernels read. */
import type { Node, Value } from "../ir/graph.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { build } from "../ops/builder.ts";
import { int8KernelOf } from "../ops/int8.ts";
import { hasTrait } from "../ops/traits.ts";
import { isMoving, type Plan } from "./plan.ts";

/** All nodes of the plan that are to run on integer kernels. */
export function integerNodes({ layers, others }: Plan): ReadonlySet<Node> {
  return new Set([...layers.map(({ node }) => node), ...others]);
}

/**
 * x -> QuantizeLinear -> DequantizeLinear -> readers, with uint8 levels; `integer` are the nodes of
 * `integerNodes`. Nodes that move elements to an integer node read the rounded value as well.
 *
 * A Relu or Clip that is `absorbed` is left out where the zero point is 0: levels saturate at 0 and
 * at the top of the range, which is what it did.
 */
export function roundActivation(
  value: Value,
  absorbed: Node | null,
  { scale, zeroPoint }: QuantParams,
  integer: ReadonlySet<Node>,
): void {
  const { graph } = value;
  const g = build(graph, value.name);
  // Saturating at 0 and at the top of the range does what the Relu or Clip did.
  const source = absorbed && zeroPoint === 0 ? (absorbed.inputs[0] as Value) : value;
  const s = g.constant(scale, { name: "scale" });
  const z = g.constant(zeroPoint, { dtype: "uint8", name: "zero_point" });
  const q = g.QuantizeLinear(source, s, z);
  const rounded = g.DequantizeLinear(q, s, z);
  rounded.dtype = "float32";
  rounded.shape = value.shape;
  const producers = [value.producer, source.producer];
  if (producers.some((node) => node !== null && integer.has(node))) {
    // If the producer runs on integers, all readers, and the model's output, read the rounded
    // value. Otherwise the float value would still be needed, and the engine would run the
    // producer in float.
    for (const use of [...value.uses]) if (use.user !== q.producer) redirect(use, rounded, value);
  } else {
    for (const node of value.consumers) {
      if (!integer.has(node) && !leadsTo(node, integer)) continue;
      for (const [i, input] of node.inputs.entries())
        if (input === value) node.setInput(i, rounded);
    }
  }
  if (absorbed && source !== value && value.uses.size === 0) graph.remove(absorbed);
}

/** Makes one use read `by` instead of `old`. A graph output keeps its name. */
function redirect(
  use: { user: Node | Value["graph"]; index: number },
  by: Value,
  old: Value,
): void {
  if ("setOutput" in use.user) {
    [by.name, old.name] = [old.name, by.name];
    use.user.setOutput(use.index, by);
  } else use.user.setInput(use.index, by);
}

/**
 * Whether the node only moves elements and an integer node reads what it gives, directly or
 * through more such nodes.
 */
function leadsTo(node: Node, integer: ReadonlySet<Node>): boolean {
  if (!isMoving(node)) return false;
  return node.output.consumers.some((next) => integer.has(next) || leadsTo(next, integer));
}

/**
 * Rewrites operators in front of a layer that the engine passes no integers through as equal ones
 * that it does: Flatten becomes Reshape (docs/engine.md, quantization).
 */
export function carryIntegers(plan: Plan): void {
  for (const layer of plan.layers) {
    let value = layer.node.inputs[layer.inputIndex];
    while (value?.producer) {
      const node: Node = value.producer;
      const kernel = int8KernelOf(node);
      if (kernel?.kind !== "moves") break;
      value = node.inputs[0];
      const other = value && kernel.instead?.(build(node.graph, node.name), value, node);
      if (!other) continue;
      node.graph.replace(node.output, other);
      node.graph.remove(node);
    }
  }
}

/**
 * Rounds what nodes move from a DequantizeLinear to the body of an If or Loop once more, by the same
 * scale, which changes nothing. The engine (onnxruntime 1.30) moves a DequantizeLinear behind such
 * nodes, and ends the process if the reader is a body.
 */
export function closeAtBodies({ values }: Plan): void {
  for (const outer of new Set([...values.keys()].map(({ graph }) => graph))) {
    for (const node of outer.sorted()) {
      const { output } = node;
      if (!isMoving(node) || output.consumers.every((next) => next.graph === outer)) continue;
      const from = levelsBefore(node);
      if (!from) continue;
      const g = build(outer, output.name);
      const [, scale, zeroPoint] = from.inputs as Value[];
      const q = g.QuantizeLinear(output, scale, zeroPoint);
      const rounded = g.DequantizeLinear(q, scale, zeroPoint);
      [rounded.dtype, rounded.shape] = [output.dtype, output.shape];
      for (const use of [...output.uses]) {
        if (use.user !== q.producer) redirect(use, rounded, output);
      }
    }
  }
}

/** The DequantizeLinear whose numbers the node moves, directly or through more such nodes. */
function levelsBefore(node: Node): Node | null {
  const before = node.inputs[0]?.producer;
  if (before && hasTrait(before, "converts") && !hasTrait(before, "straightThrough")) return before;
  return before && isMoving(before) ? levelsBefore(before) : null;
}
