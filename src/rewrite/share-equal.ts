/** @file Merges equal nodes and equal constants. */
import type { Attribute, Attributes } from "../ir/attribute.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Node, Value } from "../ir/graph.ts";
import { Tensor } from "../ir/tensor.ts";
import { hasTrait } from "../ops/traits.ts";
import { defineRule } from "./rule.ts";

export const shareNodes = defineRule({
  id: "share-nodes",
  doc: "two nodes of the same operator, inputs and attributes -> one",
  roots: "any",
  apply(node) {
    const input = node.inputs.find((value) => value !== null);
    if (!input || hasTrait(node, "random") || node.subgraphs.length > 0) return null;
    // The earlier of the two nodes stays: the readers of a value are in the order in
    // which they were added.
    for (const twin of input.consumers) {
      if (twin === node) return null;
      if (twin.graph === node.graph && isTwin(node, twin)) return twin.outputs;
    }
    return null;
  },
});

/** Whether two nodes compute the same. */
function isTwin(a: Node, b: Node): boolean {
  return (
    a.op === b.op &&
    a.domain === b.domain &&
    a.inputs.length === b.inputs.length &&
    a.outputs.length === b.outputs.length &&
    a.inputs.every((input, i) => input === b.inputs[i]) &&
    sameAttributes(a.attributes, b.attributes)
  );
}

function sameAttributes(a: Attributes, b: Attributes): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && sameAttribute(a[name], b[name]))
  );
}

function sameAttribute(a: Attribute, b: Attribute): boolean {
  if (a.type !== b.type) return false;
  if (a.type === "tensor") return sameTensor(a.value, b.value as Tensor);
  if (!Array.isArray(a.value)) return a.value === b.value;
  const [left, right] = [a.value as readonly unknown[], b.value as readonly unknown[]];
  return (
    left.length === right.length &&
    left.every((one, i) =>
      one instanceof Tensor ? sameTensor(one, right[i] as Tensor) : one === right[i],
    )
  );
}

export const shareConstants = defineRule({
  id: "share-constants",
  doc: "two constants of the same type, shape and bytes -> one (vectors of one repeated float stay apart)",
  sweep(graph, kept) {
    const { thetas } = kept();
    const seen = new Map<string, Value[]>();
    const dropped: string[] = [];
    for (const value of [...graph.constants]) {
      const { tensor } = value;
      if (!tensor || tensor.strings || value.uses.size === 0) continue;
      if (isFresh(tensor) || thetas.has(value)) continue;
      const key = `${tensor.dtype} ${tensor.shape.join()}`;
      const group = seen.get(key) ?? [];
      const twin = group.find((other) => other.tensor && sameTensor(other.tensor, tensor));
      if (twin && graph.replaceable(value, twin)) {
        graph.replace(value, twin);
        graph.removeConstant(value);
        dropped.push(value.name);
      } else if (!twin) {
        seen.set(key, [...group, value]);
      }
    }
    return dropped;
  },
});

/**
 * Whether a float vector has one repeated number, as initial biases and scales have. Such vectors
 * are equal by chance, and training makes them different, so they must not be merged.
 */
function isFresh(tensor: Tensor): boolean {
  if (tensor.size < 2 || dtypes[tensor.dtype].kind !== "float") return false;
  const numbers = tensor.numbers();
  for (let i = 1; i < tensor.size; i++) if (numbers[i] !== numbers[0]) return false;
  return true;
}

function sameTensor(a: Tensor, b: Tensor): boolean {
  if (a === b) return true;
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  if (a.strings || b.strings) {
    return a.strings?.every((text, i) => text === b.strings?.[i]) ?? false;
  }
  const [s, t] = [a.bytes(), b.bytes()];
  return s.every((byte, i) => byte === t[i]);
}
