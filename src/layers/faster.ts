/** @file What is written only where it makes the model faster: by itself, and together with the rest. */
import type { Context, Speedup } from "../context.ts";
import type { Model } from "../ir/model.ts";

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
