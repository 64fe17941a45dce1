/** @file A convolution with stride 1 by its definition, in plain loops. */

/** One along each axis: the map's size, taps, and zeros before and behind. */
export interface Convolution {
  readonly size: readonly number[];
  readonly taps: readonly number[];
  /** Begins, then ends. */
  readonly pads: readonly number[];
  readonly inputs: number;
  readonly outputs: number;
  readonly groups: number;
}

/**
 * y [N, outputs, ...] of x [N, inputs, ...] and K [outputs, inputs / groups, ...]:
 *   y[b, n, o] = sum_(c, p) K[n, c, p] x[b, c of n's group, o + p - begin] + bias[n]
 */
export function convolve(
  x: Float32Array,
  weights: Float32Array,
  bias: Float32Array | null,
  { size, taps, pads, inputs, outputs, groups }: Convolution,
): { readonly shape: number[]; readonly values: number[] } {
  // A line is a map of one row.
  const flat = size.length === 1;
  const [height, width] = flat ? [1, size[0]] : size;
  const [down, across] = flat ? [1, taps[0]] : taps;
  const [top, left, bottom, right] = flat ? [0, pads[0], 0, pads[1]] : pads;
  const [rows, columns] = [height + top + bottom - down + 1, width + left + right - across + 1];
  const [own, each] = [inputs / groups, outputs / groups];
  const records = x.length / inputs / height / width;
  const values: number[] = [];
  for (let b = 0; b < records; b++)
    for (let n = 0; n < outputs; n++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) {
          let sum = bias ? bias[n] : 0;
          for (let c = 0; c < own; c++)
            for (let p = 0; p < down; p++)
              for (let q = 0; q < across; q++) {
                const [r, s] = [i + p - top, j + q - left];
                if (r < 0 || r >= height || s < 0 || s >= width) continue;
                const channel = Math.floor(n / each) * own + c;
                const at = ((b * inputs + channel) * height + r) * width + s;
                sum += weights[((n * own + c) * down + p) * across + q] * x[at];
              }
          values.push(sum);
        }
  return { shape: [records, outputs, ...(flat ? [columns] : [rows, columns])], values };
}
