/** @file What is written only where it makes the model faster: by itself, and together with the rest. */
import type { Context, Speedup } from "../context.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { inferModel } from "../ops/infer.ts";

/** The reason to leave a layer alone that takes as long or longer `how` ("as products"); null if it is faster. */
export function whySlower([before, after]: readonly number[], how = ""): string | null {
  if (after < before) return null;
  const way = how && ` ${how}`;
  return `would slow the model down${way}, from ${before.toFixed(3)} to ${after.toFixed(3)} ms a run`;
}

/** Layers that are changed together. */
export interface Change {
  /** Names of their nodes. */
  readonly names: readonly string[];
  /** What the change saves, all in one unit: the ones that save least are given up first. */
  readonly saved: number;
}

/** A copy of the model, whose shapes are known, after `change`. */
export function changed(model: Model, change: (copy: Model) => void): Model {
  const copy = cloneModel(model);
  inferModel(copy);
  change(copy);
  return copy;
}

/**
 * The groups of layers with which the model is faster, each in the one of its ways that takes the least
 * time; the layers of the others are skipped. Each group is timed in the model by itself, then all that
 * were faster together. `change` makes changes in a copy of the model; `how` and `alone` say what the
 * layers would be ("as products"), the latter of a group by itself. Null without an engine to time on.
 */
export async function fasterGroups<W extends Pick<Change, "names">>(
  model: Model,
  groups: readonly (readonly W[])[],
  change: (copy: Model, chosen: readonly W[]) => void,
  context: Context,
  how: string,
  alone = how,
): Promise<readonly W[] | null> {
  const { time } = context;
  if (!time) return null;
  const withChanges = (chosen: readonly W[]) => changed(model, (copy) => change(copy, chosen));
  const found: (W & Change)[] = [];
  for (const [i, ways] of groups.entries()) {
    await context.progress(i, groups.length);
    const [before, ...after] = await time([model, ...ways.map((way) => withChanges([way]))]);
    const least = Math.min(...after);
    const way = ways[after.indexOf(least)];
    const slower = whySlower([before, least], alone);
    if (slower) for (const name of way.names) context.skip(name, slower);
    else found.push({ ...way, saved: before - least });
  }
  return keepFaster(model, found, withChanges, context, how);
}

/**
 * The changes that make the whole model faster, in their order: all of them, else the half that saves
 * most, half of that, and so on, or none. Layers that are faster by themselves can be slower together,
 * because the engine may have to change the layout of values around them, and because what was chosen
 * by a timing was partly chosen by its noise. So `withChanges`, a copy of the model with some of the
 * changes, is timed anew beside the model, and counts as faster only if the 95 % interval of its
 * speed-up lies above 1. The other layers are skipped with the figures of all changes together; `how`
 * says what they would be ("as products"). Without an engine to time on, all changes are kept.
 */
export async function keepFaster<C extends Change>(
  model: Model,
  changes: readonly C[],
  withChanges: (kept: readonly C[]) => Model | Promise<Model>,
  { compare, skip, target }: Pick<Context, "compare" | "skip" | "target">,
  how: string,
): Promise<readonly C[]> {
  if (!compare) return changes;
  const sorted = changes.toSorted((a, b) => b.saved - a.saved);
  let reason = "";
  let kept = sorted;
  for (; kept.length > 0; kept = kept.slice(0, Math.floor(kept.length / 2))) {
    const speedup = await compare(model, await withChanges(kept));
    if (speedup.ci95 && speedup.ci95[0] > 1) break;
    reason ||= whyNotFaster(sorted, speedup, `${how} the model runs`, target.id);
  }
  for (const { names } of sorted.slice(kept.length)) {
    for (const name of names) skip(name, reason);
  }
  return changes.filter((change) => kept.includes(change));
}

function whyNotFaster(
  changes: readonly Change[],
  { value, ci95 }: Speedup,
  what: string,
  where: string,
): string {
  const count = changes.reduce((sum, { names }) => sum + names.length, 0);
  const range = ci95 ? ` (${ci95.map((end) => end.toFixed(2)).join(" to ")})` : "";
  return `stays: with ${count} ${count === 1 ? "layer" : "layers"} ${what} at ${value.toFixed(2)}x${range} on ${where}`;
}
