/** @file Storage: through which inputs stored numbers pass, and which nodes unpack them. */
import { type DType, dtypes } from "../ir/dtype.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { entryOf, isOp, type OpTable } from "./table.ts";

/** The input that brings the numbers; other inputs say where they go. */
const sources: OpTable<number> = { Cast: 0, Gather: 0, Reshape: 0, ScatterElements: 2 };

/** The index of that input; null for operators that compute other numbers than they read. */
export const storedInputOf = (node: Node): number | null => entryOf(sources, node);

/** The stored integers that a Cast widens to `value` of type `dtype`; null where it is anything else. */
export function castLevels({ producer }: Value, dtype: DType): Tensor | null {
  const tensor = producer && isOp(producer, "Cast") ? producer.inputs[0]?.tensor : null;
  if (!tensor) return null;
  const { kind, bits } = dtypes[tensor.dtype];
  return kind === "int" && bits <= 16 && bits < dtypes[dtype].bits ? tensor : null;
}

/** By other inputs than the numbers themselves these are told where each number goes. */
const places: OpTable<true> = { Gather: true, ScatterElements: true };

/** Whether a node puts stored numbers at places of their own, so that zeros need not be stored. */
export const placesNumbers = (node: Node): boolean => entryOf(places, node) === true;

/** BitShift unpacks bits of bytes, and CumSum turns distances into positions. */
const rows: OpTable<true> = { BitShift: true, CumSum: true };

/**
 * Whether a node works on one long vector of all numbers, in which no axis of the
 * tensor can be cut.
 */
export const isPackedRow = (node: Node): boolean => entryOf(rows, node) === true;

/**
 * How many numbers each byte of `table` holds, if the node looks rows of a quantized embedding up in
 * it: bytes [rows, ...], from which BitwiseAnd takes numbers of fewer bits. Null for any other node.
 */
export function perByteOf(node: Node, table: Tensor): number | null {
  if (!isOp(node, "Gather") || node.inputs[0]?.tensor !== table) return null;
  const isTable = table.shape.length > 1 && (table.dtype === "int8" || table.dtype === "uint8");
  if (!isTable || node.int("axis", 0) !== 0) return null;
  const unpacks = node.output.consumers.find((next) => isOp(next, "BitwiseAnd"));
  const mask = unpacks?.inputs[1]?.tensor?.numbers()[0];
  return mask ? 8 / (32 - Math.clz32(mask)) : 1;
}
