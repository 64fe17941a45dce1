/** @file Holds records out of a training, to score it by. */
import type { Dataset } from "../data/dataset.ts";
import { splitDataset } from "../data/split.ts";

/** Largest number of held-out records. */
const heldOutLimit = 5000;

/**
 * Divides `records` by `seed` into those to train on and a `share` (0..1) of held-out records,
 * which only score the model. `heldOut` is null where the share amounts to no record or to all of
 * them.
 */
export function holdOut(
  records: Dataset,
  share: number,
  seed: number,
): { readonly training: Dataset; readonly heldOut: Dataset | null } {
  const count = Math.min(heldOutLimit, Math.round(share * records.length));
  if (count < 1 || count >= records.length) return { training: records, heldOut: null };
  const { calibration, rest } = splitDataset(records, { count, seed });
  return { training: rest, heldOut: calibration };
}
