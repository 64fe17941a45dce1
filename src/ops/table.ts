/** @file Tables keyed by operator: their type, and how a node finds its entry. */
import type { Node } from "../ir/graph.ts";
import type { OpName } from "./schema.ts";

/**
 * One entry per operator. The compiler checks keys against the standard's schema. Operators of
 * other domains have the domain in front of their name: "com.microsoft:MatMulNBits".
 */
export type OpTable<T> = { readonly [K in OpName]?: T } & {
  readonly [K in `com.microsoft${string}:${string}`]?: T;
};

/** The entry of a node's operator; null if the table has none. */
export function entryOf<T>(table: OpTable<T>, node: Pick<Node, "op" | "domain">): T | null {
  const key = keyOf(node);
  const entries: Readonly<Record<string, T | undefined>> = table;
  return Object.hasOwn(entries, key) ? (entries[key] ?? null) : null;
}

/** Whether the node is this operator of ai.onnx; other domains may have one of the same name. */
export const isOp = (node: Pick<Node, "op" | "domain"> | null | undefined, op: OpName): boolean =>
  node?.op === op && node.domain === "";

/** The key of an operator in such a table. */
export function keyOf({ op, domain }: Pick<Node, "op" | "domain">): string {
  return domain ? `${domain}:${op}` : op;
}
