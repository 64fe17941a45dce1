/** @file What a table keyed by operator is, and how a node finds its entry. */
import type { Node } from "../ir/graph.ts";
import type { OpName } from "./schema.ts";

/**
 * One entry per operator. The compiler checks the keys against the standard's schema; operators of
 * another domain have it in front of their name: "com.microsoft:MatMulNBits".
 */
export type OpTable<T> = { readonly [K in OpName]?: T } & {
  readonly [K in `com.microsoft${string}:${string}`]?: T;
};

/** Null where the table says nothing of the node's operator. */
export function entryOf<T>(table: OpTable<T>, node: Pick<Node, "op" | "domain">): T | null {
  const key = keyOf(node);
  const entries: Readonly<Record<string, T | undefined>> = table;
  return Object.hasOwn(entries, key) ? (entries[key] ?? null) : null;
}

/** Whether the node is this standard operator: an operator of another domain may have the same name. */
export const isOp = (node: Pick<Node, "op" | "domain"> | null | undefined, op: OpName): boolean =>
  node?.op === op && node.domain === "";

/** An operator's key in such a table. */
export function keyOf({ op, domain }: Pick<Node, "op" | "domain">): string {
  return domain ? `${domain}:${op}` : op;
}
