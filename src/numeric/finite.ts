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
    if (x === 0) zeros++;
    else if (x - x !== 0) {
      if (Number.isNaN(x)) nan++;
      else infinite++;
    }
  }
  return { zeros, nan, infinite };
}

/** How many values are zero. */
export function countZeros(values: ArrayLike<number>): number {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] === 0) count++;
  return count;
}

/** How many of the first `count` integers of `bits` bits are zero; low bits come first in a byte. */
export function countPackedZeros(bytes: Uint8Array, bits: number, count: number): number {
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const zerosIn = (byte: number, upTo: number): number => {
    let zeros = 0;
    for (let k = 0; k < upTo; k++) if (((byte >> (k * bits)) & mask) === 0) zeros++;
    return zeros;
  };
  const zerosOf = Uint8Array.from({ length: 256 }, (_, byte) => zerosIn(byte, perByte));
  const whole = Math.floor(count / perByte);
  let zeros = zerosIn(bytes[whole] ?? 0, count % perByte);
  for (let i = 0; i < whole; i++) zeros += zerosOf[bytes[i]];
  return zeros;
}

/** The counts as text: "3 NaNs", "1 infinity", "1 NaN and 2 infinities". */
export function describeNonFinite({ nan, infinite }: NonFinite): string {
  const nans = nan > 0 ? [`${nan} ${nan === 1 ? "NaN" : "NaNs"}`] : [];
  const ends = infinite > 0 ? [`${infinite} ${infinite === 1 ? "infinity" : "infinities"}`] : [];
  return [...nans, ...ends].join(" and ");
}
