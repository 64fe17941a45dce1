/** @file Look-ups: rows of constant tables, chosen by the integers that a model reads. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { isOp } from "./table.ts";
import { hasTrait } from "./traits.ts";

/** A node that gives the rows `ids` of a table [rows, ...], which the file stores as it is. */
export interface LookUp {
  readonly node: Node;
  readonly table: Value & { readonly tensor: Tensor };
  readonly ids: Value;
}

/** Every look-up by an integer input of the model, in execution order. */
export function lookUpsOf(model: Model): LookUp[] {
  return [...model.graph.walk()].flatMap((graph) =>
    graph.sorted().flatMap((node) => {
      const [table, ids] = node.inputs;
      if (!isOp(node, "Gather") || !table?.tensor || !ids || node.int("axis", 0) !== 0) return [];
      return isFed(ids) ? [{ node, table: table as LookUp["table"], ids }] : [];
    }),
  );
}

/** Whether the numbers are those of an input, in another type or shape perhaps. */
function isFed(value: Value): boolean {
  for (let at = value; ; ) {
    const node = at.producer;
    if (!node) return !at.tensor && !at.graph.owner;
    if (!isOp(node, "Cast") && !hasTrait(node, "rearranges")) return false;
    at = node.inputs[0] as Value;
  }
}
