/** @file Prices: what one unit of each group costs, in the unit of the budget. */

import type { Context } from "../context.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { costModel } from "../ops/cost.ts";
import { type Kind, parseBudget } from "./budget.ts";
import type { Candidate } from "./candidates.ts";

/**
 * For each candidate, the cost of all its layers divided by its number of units: MACs, weights, or
 * microseconds measured by the engine (MACs if it does not tell), after the kind of budget. Without
 * a budget every price is 1.
 */
export async function pricesOf(
  budget: string,
  model: Model,
  candidates: readonly Candidate[],
  context: Context,
): Promise<number[]> {
  if (!budget) return candidates.map(() => 1);
  const costOf = await gaugeOf(parseBudget(budget).kind, model, context);
  return candidates.map(
    ({ layers, group }) =>
      [...layers].reduce((sum, node) => sum + costOf(node), 0) / group.units.length,
  );
}

/** The cost of one node. */
type Gauge = (node: Node) => number;

async function gaugeOf(kind: Kind, model: Model, { timeNodes }: Context): Promise<Gauge> {
  const times = kind === "latency" ? await timeNodes?.(model) : null;
  if (times) return (node) => times.get(node) ?? 0;
  const { perNode } = costModel(model);
  return kind === "bytes"
    ? (node) => perNode.get(node)?.params ?? 0
    : (node) => perNode.get(node)?.macs ?? 0;
}
