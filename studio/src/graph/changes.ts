/** @file What a recipe changed in a graph, node by node. */
import { constantExpressions, type Graph, type Node, type Tensor, type Value } from "tersor";

/** A node that is in one of both graphs only, in both as it was, or in both with another content. */
export type Change = "same" | "changed" | "new" | "gone";

/**
 * Compares the nodes of two graphs by name. A node is changed if its operator, an attribute or a
 * constant that it reads is another; what computes its other inputs does not count.
 */
export function changesOf(before: Graph, after: Graph): Map<Node, Change> {
  const rebuilt = new Set([...constantExpressions(before), ...constantExpressions(after)]);
  const old = new Map([...before.nodes].map((node) => [node.name, node]));
  const changes = new Map<Node, Change>();
  for (const node of after.nodes) {
    const twin = old.get(node.name);
    old.delete(node.name);
    const change = !twin ? "new" : isSame(twin, node, rebuilt) ? "same" : "changed";
    changes.set(node, change);
    if (twin) changes.set(twin, change);
  }
  for (const node of old.values()) changes.set(node, "gone");
  return changes;
}

/** `rebuilt` holds the values that nodes compute from constants alone. */
function isSame(a: Node, b: Node, rebuilt: ReadonlySet<Value>): boolean {
  if (a.op !== b.op || a.domain !== b.domain) return false;
  if (attributesText(a) !== attributesText(b)) return false;
  const isSameInput = (x: Value | null, y: Value | null): boolean => {
    if (!x || !y) return x === y;
    if (x.tensor && y.tensor) return isEqual(x.tensor, y.tensor);
    if (!rebuilt.has(x) || !rebuilt.has(y)) return !isConstant(x) && !isConstant(y);
    return isSame(x.producer as Node, y.producer as Node, rebuilt);
  };
  const isConstant = (value: Value): boolean => value.tensor !== null || rebuilt.has(value);
  const count = Math.max(a.inputs.length, b.inputs.length);
  const indices = Array.from({ length: count }, (_, i) => i);
  return indices.every((i) => isSameInput(a.inputs[i] ?? null, b.inputs[i] ?? null));
}

/** Attributes in the order of their names; of tensors and bodies only that there is one. */
const attributesText = ({ attributes }: Node): string =>
  Object.keys(attributes)
    .sort()
    .map((name) => {
      const { type, value } = attributes[name];
      return `${name} ${/int|float|string/.test(type) ? JSON.stringify(value) : type}`;
    })
    .join("\n");

function isEqual(a: Tensor, b: Tensor): boolean {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  if (a.strings) return JSON.stringify(a.strings) === JSON.stringify(b.strings);
  const [left, right] = [a.bytes(), b.bytes()];
  return left.every((byte, i) => byte === right[i]);
}
