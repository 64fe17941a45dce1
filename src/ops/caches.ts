/** @file Caches of keys and values: which operators make a cache longer, and where it goes in and out. */
import type { Node, Value } from "../ir/graph.ts";
import { entryOf, isOp, type OpTable } from "./table.ts";

/** A cache [batch, heads, positions, size] that goes into a node and comes out with new positions. */
export interface Cache {
  readonly node: Node;
  readonly part: "keys" | "values";
  /** The earlier positions. */
  readonly past: Value;
  /** The earlier positions and the new ones. */
  readonly present: Value;
  /** The new positions; null where the node computes them itself, so that its kernel converts them. */
  readonly added: Value | null;
}

/** Numbers of inputs and outputs: those of past, present and added. `part`: where the operator fixes it. */
interface Slot extends Partial<Pick<Cache, "part">> {
  readonly past: number;
  readonly present: number;
  readonly added: number | null;
}

const rules: OpTable<(node: Node) => readonly Slot[]> = {
  // [past, added] along the positions
  Concat: (node) => {
    const isGrowth = node.inputs.length === 2 && node.output.shape?.length === 4;
    return isGrowth && [2, -2].includes(node.int("axis", 0))
      ? [{ past: 0, present: 0, added: 1 }]
      : [];
  },
  "com.microsoft:GroupQueryAttention": () => [
    { part: "keys", past: 3, present: 1, added: null },
    { part: "values", past: 4, present: 2, added: null },
  ],
};

/** The caches that a node makes longer: inputs of the model that it returns with more positions. */
export function cachesOf(node: Node): Cache[] {
  const slots = entryOf(rules, node)?.(node) ?? [];
  return slots.flatMap((slot) => {
    const [past, present] = [node.inputs[slot.past], node.outputs[slot.present]];
    const added = slot.added === null ? null : node.inputs[slot.added];
    if (!past?.graph.inputs.includes(past) || !present?.isOutput || added === undefined) return [];
    return [{ node, part: slot.part ?? partOf(past.name), past, present, added }];
  });
}

/** What an input holds, by the names that exporters give: past_key_values.0.value, past_v_0. */
const partOf = (name: string): Cache["part"] =>
  /value|(^|[._])v([._]|$)/i.test(name.replace(/key_?values?/i, "")) ? "values" : "keys";

/** Whether a node only asks for the size of what it reads, which is the same for every type. */
export const asksForSize = (node: Node): boolean => isOp(node, "Shape") || isOp(node, "Size");
