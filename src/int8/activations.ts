/** @file Activations in uint8: QuantizeLinear and DequantizeLinear where int8 kernels will meet. */
import type { Node, Value } from "../ir/graph.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { build } from "../ops/builder.ts";
import { int8KernelOf } from "../ops/int8.ts";
import { isMoving, type Plan } from "./plan.ts";

/** The nodes that are to run on integer kernels. */
export function integerNodes({ layers, others }: Plan): ReadonlySet<Node> {
  return new Set([...layers.map(({ node }) => node), ...others]);
}

/** x -> QuantizeLinear -> DequantizeLinear -> readers; `integer` are the nodes of `integerNodes`. */
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
    // Everything downstream reads the rounded value, or the producer would run in float as well.
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

/** Through element-moving operators to an int8 node. */
function leadsTo(node: Node, integer: ReadonlySet<Node>): boolean {
  if (!isMoving(node)) return false;
  return node.output.consumers.some((next) => integer.has(next) || leadsTo(next, integer));
}

/** Writes what the engine carries no integers through as what it does: a Flatten as a Reshape. */
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
