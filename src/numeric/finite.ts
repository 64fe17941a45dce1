/** @file Counts the values that are no finite numbers. */

/** How many values are NaN, and how many are infinite. */
export interface NonFinite {
  readonly nan: number;
  readonly infinite: number;
}

/** Whether all values are finite. x - x is 0 for them, and NaN for NaN and infinities. */
export function areFinite(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (values[i] - values[i] !== 0) return false;
  return true;
}

/** Counts NaN and infinities. */
export function countNonFinite(values: ArrayLike<number>): NonFinite {
  let [nan, infinite] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const x = values[i];
    if (x - x === 0) continue;
    if (Number.isNaN(x)) nan++;
    else infinite++;
  }
  return { nan, infinite };
}

/** The counts as text: "3 NaNs", "1 infinity", "1 NaN and 2 infinities". */
export function describeNonFinite({ nan, infinite }: NonFinite): string {
  const nans = nan > 0 ? [`${nan} ${nan === 1 ? "NaN" : "NaNs"}`] : [];
  const ends = infinite > 0 ? [`${infinite} ${infinite === 1 ? "infinity" : "infinities"}`] : [];
  return [...nans, ...ends].join(" and ");
}
