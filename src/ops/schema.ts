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
