/** @file Budget: the smallest share of channels whose removal leaves few enough MACs, bytes or ms. */

import type { Context } from "../context.ts";
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { costModel } from "../ops/cost.ts";
import { type Removal, removeUnits } from "../ops/coupling.ts";

export const budgetPattern = /^(macs|bytes|latency)<=(0?\.\d+|1)$/;

export type Kind = "macs" | "bytes" | "latency";

/** macs<=0.5 -> what is to be saved, and the share that may be left. */
export function parseBudget(budget: string): { readonly kind: Kind; readonly limit: number } {
  const [, kind, share] = budgetPattern.exec(budget) as unknown as [string, Kind, string];
  return { kind, limit: Number(share) };
}

/** Halvings of the range of ratios: to 0.2 %, for where most channels stay a few ratios make the difference. */
const LOOKS = 9;
const MOST = 0.95;

/**
 * Measures really pruned copies, so whatever goes along with the channels counts; `plan` says what a
 * ratio removes. Warns where even the largest ratio keeps too much.
 */
export async function ratioFor(
  budget: string,
  model: Model,
  plan: (ratio: number) => readonly Removal[],
  context: Context,
): Promise<number> {
  const { kind, limit } = parseBudget(budget);
  const measure = await gaugeOf(kind, model, context);
  // Nothing gone is all kept, whatever the clock says.
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

/** What is left of the model's own cost, as a share. */
async function gaugeOf(
  kind: Kind,
  model: Model,
  { time }: Context,
): Promise<(pruned: Model) => Promise<number> | number> {
  if (kind === "latency") {
    if (!time)
      throw fail(
        errors.badOption("budget", "nothing here can tell the time", "Give macs or bytes"),
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

/** A copy that has lost those units. */
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
