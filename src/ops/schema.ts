/** @file What the standard says of each operator's ports and attributes. */
import type { AttributeSchema, OpSchema } from "./schema-table.ts";
import { schemaTable } from "./schema-table.ts";

export type { AttributeSchema, OpSchema };
export type OpName = keyof typeof schemaTable;

const table: Readonly<Record<string, OpSchema | undefined>> = schemaTable;

/** Undefined for operators outside ai.onnx or newer than the table. */
export function schemaOf(op: string): OpSchema | undefined {
  return Object.hasOwn(table, op) ? table[op] : undefined;
}
