/** @file Storage: through which inputs stored numbers pass, and which nodes unpack them. */
import type { Node } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";

/** The input that brings the numbers; other inputs say where they go. */
const sources: OpTable<number> = { Cast: 0, Gather: 0, Reshape: 0, ScatterElements: 2 };

/** The index of that input; null for operators that compute other numbers than they read. */
export const storedInputOf = (node: Node): number | null => entryOf(sources, node);

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
