/** @file Pictures among outputs and labels: their axes and the range of their values. */

/** The value of white. */
export type Peak = 1 | 255;

/** Whether the shape is [N, C, H, W] or [N, H, W, C] with C = 1, 3 or 4. */
export function isPictureShape(shape: readonly number[]): boolean {
  return shape.length === 4 && [shape[1], shape[3]].some((size) => [1, 3, 4].includes(size));
}

/** Finds the peak of pictures that are given one by one. */
export function peakFinder() {
  let least = Number.POSITIVE_INFINITY;
  let largest = Number.NEGATIVE_INFINITY;
  return {
    add(values: ArrayLike<number>): void {
      for (let i = 0; i < values.length; i++) {
        if (values[i] < least) least = values[i];
        if (values[i] > largest) largest = values[i];
      }
    },
    /** 1 for values in [0, 1]; 255 for those in [0, 255] and beyond 127; null for others. */
    peak(): Peak | null {
      if (least < 0) return null;
      return largest <= 1 ? 1 : largest > 127 && largest <= 255 ? 255 : null;
    },
  };
}
