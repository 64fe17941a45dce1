/** @file Budget: the smallest share of channels to remove for a limit on MACs, bytes or time. */

import type { Context } from "../context.ts";
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { costModel } from "../ops/cost.ts";
import { type Removal, removeUnits } from "../ops/coupling.ts";

/** Syntax of the option `budget`, such as "macs<=0.5". */
export const budgetPattern = /^(macs|bytes|latency)<=(0?\.\d+|1)$/;

/** What a budget limits: multiply-accumulates, bytes of the ONNX file, or the time of one run. */
export type Kind = "macs" | "bytes" | "latency";

/**
 * "macs<=0.5" -> { kind: "macs", limit: 0.5 }. The text has to match `budgetPattern`; the limit is
 * a share of the original model's cost.
 */
export function parseBudget(budget: string): { readonly kind: Kind; readonly limit: number } {
  const [, kind, share] = budgetPattern.exec(budget) as unknown as [string, Kind, string];
  return { kind, limit: Number(share) };
}

/**
 * Steps of the bisection over ratios. After 9 halvings of [0, 0.95] the ratio is known to 0.2 %:
 * channel counts are rounded, so a small step of the ratio may change the cost by much.
 */
const LOOKS = 9;
/** The largest ratio that is tried. */
const MOST = 0.95;

/**
 * The smallest ratio, found by bisection, at which the pruned model meets `budget`.
 *
 * `plan` gives the units to remove at a ratio. Each trial prunes a copy of the model and measures
 * it, so that everything that is removed together with the channels is counted. If even the largest
 * ratio does not meet the budget, that ratio is returned with a warning.
 *
 * Throws TersorError "bad-option" if the model's cost is not known, or for a latency budget without
 * an engine to time.
 */
export async function ratioFor(
  budget: string,
  model: Model,
  plan: (ratio: number) => readonly Removal[],
  context: Context,
): Promise<number> {
  const { kind, limit } = parseBudget(budget);
  const measure = await gaugeOf(kind, model, context);
  // A plan that removes nothing keeps exactly 1; two timings of one model may differ.
  const keeps = async (ratio: number): Promise<number> => {
    const removals = plan(ratio);
    return removals.length === 0 ? 1 : measure(without(model, removals));
  };
  let [low, high] = [0, MOST];
  if ((await keeps(low)) <= limit) return low;
  const least = await keeps(high);
  if (least > limit) {
    context.warn(
      `${budget} cannot be met: with ${MOST} of all channels gone ${least.toFixed(2)} is left`,
    );
    return high;
  }
  for (let look = 0; look < LOOKS; look++) {
    await context.progress(look, LOOKS);
    const middle = (low + high) / 2;
    if ((await keeps(middle)) <= limit) high = middle;
    else low = middle;
  }
  return high;
}

/** MACs that save less than this share of the time that they promise are told. */
const BOUGHT = 0.5;

/** Warns where a budget of MACs is met by removals that buy hardly any time on this machine. */
export async function tellTime(
  budget: string,
  model: Model,
  removals: readonly Removal[],
  { time, warn }: Context,
): Promise<void> {
  if (!time || removals.length === 0 || parseBudget(budget).kind !== "macs") return;
  const pruned = without(model, removals);
  const [macs, left] = [model, pruned].map((each) => costModel(each).macs ?? Number.NaN);
  const [before, after] = await time([model, pruned]);
  const [promised, bought] = [macs / left, before / after];
  if (bought - 1 >= BOUGHT * (promised - 1)) return;
  warn(
    `MACs / ${promised.toFixed(2)} run ${bought.toFixed(2)} x as fast here: the engine computes blocks of channels, and other work stays. round=16, or budget=latency<=..., removes what takes time`,
  );
}

/** A function that measures a pruned model and returns its share of the original model's cost. */
async function gaugeOf(
  kind: Kind,
  model: Model,
  { time }: Context,
): Promise<(pruned: Model) => Promise<number> | number> {
  if (kind === "latency") {
    if (!time)
      throw fail(
        errors.badOption("budget", "there is no engine here to measure time", "Give macs or bytes"),
      );
    return async (pruned) => {
      const [before, after] = await time([model, pruned]);
      return after / before;
    };
  }
  const costOf = (of: Model): number =>
    kind === "macs" ? (costModel(of).macs ?? Number.NaN) : concat(writeModel(of)).length;
  const whole = costOf(model);
  if (!(whole > 0)) {
    throw fail(
      errors.badOption("budget", `the model's ${kind} are not known`, "Give bytes, or a ratio"),
    );
  }
  return (pruned) => costOf(pruned) / whole;
}

/**
 * A copy of the model without the units of `removals`. Removals name values of `model`; they are
 * translated to the values of the copy first.
 */
function without(model: Model, removals: readonly Removal[]): Model {
  const twins = new Map<Value, Value>();
  const copy: Model = { ...model, graph: cloneGraph(model.graph, twins) };
  const twinsOf = ({ group, units }: Removal): Removal => ({
    units,
    group: {
      ...group,
      units: group.units.map(({ members }) => ({
        members: members.map((member) => ({ ...member, value: twins.get(member.value) as Value })),
      })),
    },
  });
  if (removals.length > 0) removeUnits(copy, removals.map(twinsOf));
  return copy;
}
