/** @file Prices: what a piece costs as it is and at each size, in the unit of the budget. */
import type { Context } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import type { Point } from "./decomposition.ts";
import type { Unit } from "./options.ts";
import { type Piece, savings } from "./piece.ts";

export interface Price {
  readonly now: number;
  at(point: Point): number;
}

/**
 * The prices of every piece. Factors are float32, so that in bytes a weight that
 * is stored in fewer bits has to become much smaller. Milliseconds are measured by the
 * engine, for each piece as it is and at three of its sizes, all pieces in one session; where it
 * does not tell the time of each node, multiply-accumulates stand for it, with a warning.
 */
export async function pricesOf(
  unit: Unit,
  model: Model,
  pieces: readonly Piece[],
  context: Context,
): Promise<readonly Price[]> {
  if (unit === "milliseconds") {
    const timed = await timesOf(model, pieces, context);
    if (timed) return timed;
    context.warn("the engine does not tell the time of each layer: multiply-accumulates decide");
  }
  if (unit === "bytes") {
    return pieces.map(({ bytes }) => ({ now: bytes, at: ({ parameters }) => 4 * parameters }));
  }
  if (unit === "parameters") {
    return pieces.map(({ before }) => ({ now: before.params, at: ({ parameters }) => parameters }));
  }
  return pieces.map(({ before }) => ({ now: before.macs, at: ({ macs }) => macs }));
}

/** Where along the sizes of a piece times are measured. */
const PLACES = [0, 0.5, 1];

/** Times of the pieces, between measured sizes straight lines over multiply-accumulates. */
async function timesOf(
  model: Model,
  pieces: readonly Piece[],
  { timeNodes }: Context,
): Promise<Price[] | null> {
  const now = await timeNodes?.(model);
  if (!timeNodes || !now) return null;
  const seen: { macs: number; us: number }[][] = pieces.map(() => []);
  for (const place of PLACES) {
    const twins = new Map<Value, Value>();
    const copy: Model = { ...model, graph: cloneGraph(model.graph, twins) };
    const placed = [];
    for (const piece of pieces) {
      const points = savings(piece);
      const point = points[Math.round(place * (points.length - 1))];
      const found = point ? await piece.place(point, twins) : "";
      placed.push(typeof found === "string" ? null : { macs: point.macs, nodes: found.nodes });
    }
    const times = await timeNodes(copy);
    if (!times) return null;
    for (const [i, found] of placed.entries()) {
      if (!found) continue;
      const us = found.nodes.reduce((total, node) => total + (times.get(node) ?? 0), 0);
      seen[i].push({ macs: found.macs, us });
    }
  }
  return pieces.map(({ node }, i) => ({
    now: now.get(node) ?? 0,
    at: ({ macs }) => between(seen[i], macs),
  }));
}

/** The straight line through the two measured sizes around `macs`. */
function between(
  seen: readonly { readonly macs: number; readonly us: number }[],
  macs: number,
): number {
  if (seen.length === 0) return Number.POSITIVE_INFINITY;
  const at = seen.findIndex((place) => place.macs >= macs);
  const high = seen[at < 0 ? seen.length - 1 : at];
  const low = seen[Math.max(0, (at < 0 ? seen.length : at) - 1)];
  if (high.macs === low.macs) return high.us;
  return low.us + ((high.us - low.us) * (macs - low.macs)) / (high.macs - low.macs);
}
