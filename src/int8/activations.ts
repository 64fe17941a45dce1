/** @file Activations in uint8: QuantizeLinear and DequantizeLinear where int8 kernels will meet. */
import type { Node, Value } from "../ir/graph.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { build } from "../ops/builder.ts";
import { moving, type Plan } from "./plan.ts";

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
  if (!moving.has(node.op)) return false;
  return node.output.consumers.some((next) => integer.has(next) || leadsTo(next, integer));
}

/** ONNX Runtime carries integers through a Reshape, not through a Flatten. */
export function flattenToReshape(plan: Plan): void {
  for (const layer of plan.layers) {
    let value = layer.node.inputs[layer.inputIndex];
    while (value?.producer && moving.has(value.producer.op)) {
      const node: Node = value.producer;
      value = node.inputs[0];
      if (node.op !== "Flatten" || node.int("axis", 1) !== 1) continue;
      const g = build(node.graph, node.name);
      node.graph.replace(node.output, g.Reshape(value, g.ints([0, -1])));
      node.graph.remove(node);
    }
  }
}
