/** @file Counts the values that are no finite numbers, and zeros. */

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

/** The same, and how many are zero. */
export interface Counts extends NonFinite {
  readonly zeros: number;
}

/** Counts NaN and infinities. */
export function countNonFinite(values: ArrayLike<number>): NonFinite {
  const { nan, infinite } = countValues(values);
  return { nan, infinite };
}

/** Counts zeros, NaN and infinities. */
export function countValues(values: ArrayLike<number>): Counts {
  let [zeros, nan, infinite] = [0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const x = values[i];
    if (x - x === 0) zeros += x === 0 ? 1 : 0;
    else if (Number.isNaN(x)) nan++;
    else infinite++;
  }
  return { zeros, nan, infinite };
}

/** The counts as text: "3 NaNs", "1 infinity", "1 NaN and 2 infinities". */
export function describeNonFinite({ nan, infinite }: NonFinite): string {
  const nans = nan > 0 ? [`${nan} ${nan === 1 ? "NaN" : "NaNs"}`] : [];
  const ends = infinite > 0 ? [`${infinite} ${infinite === 1 ? "infinity" : "infinities"}`] : [];
  return [...nans, ...ends].join(" and ");
}
