/** @file What is known of one node: attributes, inputs and outputs, its weight, its channels. */
import {
  type Attribute,
  type ChannelGroup,
  channelGroups,
  constantExpressions,
  format,
  type Model,
  type Node,
  readWeight,
  type Value,
} from "tersor";
import type { GroupInfo, NodeDetail, PortInfo } from "../protocol.ts";
import { spreadOf } from "../spread.ts";

/** The groups of each model that were asked for; finding them takes a while in large ones. */
const groups = new WeakMap<Model, readonly ChannelGroup[]>();

/** The details of the node of that name in the main graph; null if there is none. */
export function detailOf(model: Model, name: string): NodeDetail | null {
  const node = [...model.graph.nodes].find((one) => one.name === name);
  if (!node) return null;
  const { op, domain, attributes } = node;
  return {
    ...{ name, op, domain },
    attributes: Object.entries(attributes).map(([key, value]) => [key, textOf(value)]),
    inputs: node.inputs.flatMap((value) => (value ? [portOf(value)] : [])),
    outputs: node.outputs.map(portOf),
    spread: spreadOf(model, name),
    groups: groupsAt(model, node),
  };
}

/** The groups of more than one channel at the node. Nodes that rebuild weights do not count. */
function groupsAt(model: Model, node: Node): GroupInfo[] {
  const all = groups.get(model) ?? channelGroups(model);
  groups.set(model, all);
  const constants = constantExpressions(model.graph);
  const names = (nodes: ReadonlySet<Node>) =>
    [...nodes].filter(({ output }) => !constants.has(output)).map((one) => one.name);
  return all
    .filter(({ size, makers, readers }) => size > 1 && (makers.has(node) || readers.has(node)))
    .map(({ name, size, makers, readers, fixed }) => ({
      ...{ name, size, fixed },
      makes: makers.has(node),
      makers: names(makers),
      readers: names(readers),
    }))
    .sort((a, b) => Number(b.makes) - Number(a.makes));
}

function portOf(value: Value): PortInfo {
  const { name, dtype, shape, tensor, producer } = value;
  const form = tensor || !producer ? null : (readWeight(value)?.form?.kind ?? null);
  const known = shape ?? tensor?.shape ?? null;
  return {
    name,
    type: `${dtype ?? tensor?.dtype ?? "?"} ${known ? format.shape(known) : ""}`.trim(),
    from: tensor ? "constant" : form ? `stored as ${form}` : (producer?.name ?? "input"),
  };
}

/** How many numbers of an attribute are written. */
const most = 12;

function textOf({ type, value }: Attribute): string {
  if (type === "int" || type === "float" || type === "string") return String(value);
  if (type === "ints" || type === "floats" || type === "strings") {
    const rest = value.length > most ? ` ... (${value.length})` : "";
    return `${value.slice(0, most).join(", ")}${rest}`;
  }
  if (type === "tensor") return `tensor ${value.dtype} ${format.shape(value.shape)}`;
  return type;
}
