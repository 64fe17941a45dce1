/** @file What the interval of a speed-up says, and one basis for the times of all rows. */
import { contains, type Interval } from "../numeric/statistics.ts";
import type { Delta, Latency, Result } from "./measurement.ts";

/** Whether a speed-up's 95 % interval contains 1: then no difference was found. */
export const isSame = (ci95: Interval | null): boolean => contains(ci95, 1);

/** The speed-up of inference to judge a row by: 1 where no difference was found. */
export function knownSpeedup({ infer, ci95 }: Pick<Delta, "infer" | "ci95">): number | null {
  return infer !== null && isSame(ci95.infer) ? 1 : infer;
}

/**
 * The row with its milliseconds on the basis of `original`: the median is the original's divided by
 * the row's speed-up, and the p90 keeps its ratio to the median. Rows are timed at different moments,
 * at which the machine may be faster or slower; their speed-ups over the original are comparable,
 * their milliseconds only so.
 */
export function onBasis<R extends Pick<Result, "latency" | "delta">>(
  row: R,
  original: Latency | null,
): R {
  const { latency, delta } = row;
  if (!latency || !original || delta.infer === null) return row;
  return { ...row, latency: withMedian(latency, original.median / delta.infer) };
}

/**
 * The original's latency on the basis of rows of an earlier run, which then stay as they are: its
 * median is a row's times the row's speed-up, and its p90 keeps its ratio to the median.
 */
export function basisOf(
  rows: readonly Pick<Result, "latency" | "delta">[],
  original: Latency | null,
): Latency | null {
  const row = rows.find(({ latency, delta }) => latency && delta.infer);
  if (!original || !row?.latency || !row.delta.infer) return original;
  const { clock, median } = row.latency;
  return { ...withMedian(original, median * row.delta.infer), clock };
}

/** The latency with another median; its p90 keeps its ratio to the median. */
function withMedian(latency: Latency, median: number): Latency {
  const p90 = latency.p90 === null ? null : (latency.p90 * median) / latency.median;
  return { ...latency, median, p90 };
}
