/** @file Merges equal nodes and equal constants. */
import { dtypes } from "../ir/dtype.ts";
import type { Node, Value } from "../ir/graph.ts";
import { contentHash, hashBytes } from "../ir/hash.ts";
import { sameAttributes, sameTensor } from "../ir/same.ts";
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

export const shareConstants = defineRule({
  id: "share-constants",
  doc: "two constants of the same type, shape and bytes -> one (vectors of one repeated float stay apart)",
  sweep(graph, kept) {
    const { thetas } = kept();
    const twins = createTwins();
    const dropped: string[] = [];
    for (const value of [...graph.constants]) {
      const { tensor } = value;
      if (!tensor || tensor.strings || value.uses.size === 0) continue;
      if (isFresh(tensor) || thetas.has(value)) continue;
      const twin = twins.of(value, tensor);
      if (twin && graph.replaceable(value, twin)) {
        graph.replace(value, twin);
        graph.removeConstant(value);
        dropped.push(value.name);
      }
    }
    return dropped;
  },
});

/**
 * Finds equal tensors among those that were asked for. Tensors that begin alike are told apart by
 * the hash of all their bytes, so that each is read once, however many there are.
 */
function createTwins() {
  const alone = new Map<string, { readonly value: Value; readonly tensor: Tensor } | null>();
  const byHash = new Map<string, Value[]>();
  const add = (key: string, value: Value, tensor: Tensor): Value | null => {
    const whole = `${key} ${contentHash(tensor)}`;
    const group = byHash.get(whole) ?? [];
    const twin = group.find((other) => other.tensor && sameTensor(other.tensor, tensor));
    if (!twin) byHash.set(whole, [...group, value]);
    return twin ?? null;
  };
  return {
    /** A value with an equal tensor that was asked for before; null if there is none. */
    of(value: Value, tensor: Tensor): Value | null {
      const key = `${tensor.dtype} ${tensor.shape.join()} ${hashBytes(tensor.head(HEAD))}`;
      const first = alone.get(key);
      if (first === undefined) {
        alone.set(key, { value, tensor });
        return null;
      }
      if (first) add(key, first.value, first.tensor);
      alone.set(key, null);
      return add(key, value, tensor);
    },
  };
}

/** Bytes by which tensors are told apart at first. */
const HEAD = 256;

/**
 * Whether a float vector has one repeated number, as initial biases and scales have. Such vectors
 * are equal by chance, and training makes them different, so they must not be merged.
 */
function isFresh(tensor: Tensor): boolean {
  const { bits, kind } = dtypes[tensor.dtype];
  if (tensor.size < 2 || kind !== "float") return false;
  const [first, second] = new Tensor(tensor.dtype, [2], () => tensor.head(bits / 4)).numbers();
  if (first !== second) return false;
  const numbers = tensor.numbers();
  for (let i = 1; i < tensor.size; i++) if (numbers[i] !== numbers[0]) return false;
  return true;
}
