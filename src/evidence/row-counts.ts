/** @file Row counts: how often calibration records look up each row of a table. */
import type { Context, Tap } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";

/** Indices into a table, and its counts [rows], to which each look-up adds. */
export interface LookUp {
  readonly ids: Value;
  readonly counts: Float64Array;
}

/** Counts the look-ups on the calibration records, at most `records` of them (default: all). */
export async function countRows(
  model: Model,
  lookUps: readonly LookUp[],
  { observe }: Pick<Context, "observe">,
  records?: number,
): Promise<void> {
  if (lookUps.length === 0) return;
  const taps = lookUps.map(({ ids, counts }): Tap & LookUp => ({ value: ids, ids, counts }));
  await observe(
    model,
    taps,
    ({ counts }, batch, { share }) => {
      // Indices below 0 count from the end.
      for (const id of batch.numbers()) counts[id < 0 ? id + counts.length : id] += share;
    },
    records,
  );
}
