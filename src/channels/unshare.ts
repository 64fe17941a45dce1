/** @file Gives layers whose biases are one constant copies of their own, and merges these again. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";

/**
 * Equal biases of unrelated layers are often stored as one constant, which would couple
 * their channels. This gives each reader a copy, and returns the function that merges copies
 * which stayed equal.
 */
export function unshareVectors(model: Model): () => void {
  const copies: { node: Node; index: number; old: Value; copy: Value }[] = [];
  for (const graph of model.graph.walk()) {
    for (const old of [...graph.constants]) {
      const { tensor } = old;
      if (tensor?.shape.length !== 1 || tensor.size < 2) continue;
      for (const { user: node, index } of [...old.uses].slice(1)) {
        if (!("setInput" in node)) continue;
        const copy = graph.addConstant(old.name, tensor);
        node.setInput(index, copy);
        copies.push({ node, index, old, copy });
      }
    }
  }
  return () => {
    for (const { node, index, old, copy } of copies) {
      if (node.inputs[index] === copy && copy.tensor === old.tensor) node.setInput(index, old);
      if (copy.uses.size === 0) copy.graph.removeConstant(copy);
    }
  };
}
