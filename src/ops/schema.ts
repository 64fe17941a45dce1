/** @file The standard's declaration of each operator's inputs, outputs and attributes. */
import type { AttributeSchema, OpSchema } from "./schema-table.ts";
import { schemaTable } from "./schema-table.ts";

export type { AttributeSchema, OpSchema };
/** The operators of ai.onnx that the table knows. */
export type OpName = keyof typeof schemaTable;

const table: Readonly<Record<string, OpSchema | undefined>> = schemaTable;

/** The schema of an operator; undefined outside ai.onnx, or if it is newer than the table. */
export function schemaOf(op: string): OpSchema | undefined {
  return Object.hasOwn(table, op) ? table[op] : undefined;
}

/** Domains of which ONNX Runtime has operators; those of others come with a plug-in of their own. */
const domains = [/^$/, /^ai\.onnx(\.|$)/, /^com\.microsoft(\.|$)/, /^com\.ms\.internal\./];

/** Whether a node's operator is one that no engine has by itself. */
export const isPrivate = ({ domain }: { readonly domain: string }): boolean =>
  !domains.some((known) => known.test(domain));
