/** @file Sets records aside for calibration, so that the metric is measured on the others. */
import { errors, fail } from "../errors.ts";
import { createRandom, type Random } from "../numeric/random.ts";
import { type Dataset, subset } from "./dataset.ts";

/** How many records are set aside, or which share of them. */
export type SplitOptions = { readonly seed: number } & (
  | { readonly count: number }
  | { readonly fraction: number }
);

/**
 * Splits off a seeded random part; the rest keeps its order. Where labels are known beforehand,
 * each class gives its share, so that both parts keep the balance of the data. Throws TersorError
 * "bad-option" for a count out of range.
 */
export function splitDataset(
  dataset: Dataset,
  options: SplitOptions,
): { calibration: Dataset; rest: Dataset } {
  const { length, name, labels } = dataset;
  const count = "count" in options ? options.count : Math.round(options.fraction * length);
  if (!Number.isInteger(count) || count < 1 || count >= length) {
    const why = `${count} of ${length} records cannot be set aside`;
    throw fail(errors.badOption(name, why, `Give a count from 1 to ${length - 1}`));
  }
  const random = createRandom(options.seed);
  const picked = random.shuffle(share(groups(labels ?? new Int32Array(length)), count, random));
  const taken = new Set(picked);
  const rest = Array.from({ length }, (_, i) => i).filter((i) => !taken.has(i));
  return { calibration: subset(dataset, picked), rest: subset(dataset, rest) };
}

/** The indices of the records by label, in ascending order of labels. */
function groups(labels: Int32Array): number[][] {
  const byLabel = new Map<number, number[]>();
  labels.forEach((label, i) => {
    const group = byLabel.get(label);
    if (group) group.push(i);
    else byLabel.set(label, [i]);
  });
  return [...byLabel].sort(([a], [b]) => a - b).map(([, group]) => group);
}

/** `count` records, each group in proportion: whole parts first, then the largest remainders. */
function share(all: number[][], count: number, random: Random): number[] {
  const length = all.reduce((sum, group) => sum + group.length, 0);
  const parts = all.map((group) => {
    const exact = group.length * count;
    const over = exact % length;
    return { group: random.shuffle(group), whole: (exact - over) / length, over };
  });
  const missing = count - parts.reduce((sum, { whole }) => sum + whole, 0);
  // Shuffling first decides between equal remainders, as with many classes and few
  // records, at random.
  const order = random.shuffle([...parts]).sort((a, b) => b.over - a.over);
  for (const part of order.slice(0, missing)) part.whole++;
  return parts.flatMap(({ group, whole }) => group.slice(0, whole));
}
