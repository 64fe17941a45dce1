/** @file How stored numbers are unpacked: through which inputs they come, and where they lie as one row. */
import type { Node } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";

/** The input that brings the numbers, where others say how they lie. */
const sources: OpTable<number> = { Cast: 0, Gather: 0, Reshape: 0, ScatterElements: 2 };

/** Null for operators that compute other numbers than they read. */
export const storedInputOf = (node: Node): number | null => entryOf(sources, node);

/** Bits of packed bytes, and positions that are running sums. */
const rows: OpTable<true> = { BitShift: true, CumSum: true };

/** Whether the node works along one long row of all numbers, in which no axis of the tensor can be cut. */
export const isPackedRow = (node: Node): boolean => entryOf(rows, node) === true;
