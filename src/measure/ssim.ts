/** @file Structural similarity of two pictures (Wang et al. 2004). */
import type { Numbers } from "./metrics/spec.ts";

/** Pixels on a side of a window. */
export const windowSize = 11;

/** How the numbers of a picture lie: [C, H, W] if planar, else [H, W, C]. */
export interface PictureLayout {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly isPlanar: boolean;
}

/** Weights of a Gaussian of sigma 1.5 with the sum 1. */
const weights = gaussian(windowSize, 1.5);

function gaussian(size: number, sigma: number): Float64Array {
  const values = Float64Array.from({ length: size }, (_, i) =>
    Math.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma ** 2)),
  );
  const sum = values.reduce((a, b) => a + b, 0);
  return values.map((x) => x / sum);
}

/**
 * The mean over windows and channels of
 *
 *   SSIM = (2 mx my + C1) (2 sxy + C2) / ((mx^2 + my^2 + C1) (sx^2 + sy^2 + C2)),
 *
 * C1 = (0.01 L)^2, C2 = (0.03 L)^2, with the weighted means m, variances s^2 and covariance sxy of
 * the pixels x and y in a window; `range` is L.
 */
export function structuralSimilarity(
  x: Numbers,
  y: Numbers,
  layout: PictureLayout,
  range: number,
): number {
  const { channels, height, width, isPlanar } = layout;
  const [c1, c2] = [(0.01 * range) ** 2, (0.03 * range) ** 2];
  const size = height * width;
  const plane = (values: Numbers, c: number): Float64Array =>
    Float64Array.from({ length: size }, (_, i) =>
      isPlanar ? values[c * size + i] : values[i * channels + c],
    );
  let [sum, count] = [0, 0];
  for (let c = 0; c < channels; c++) {
    const [a, b] = [plane(x, c), plane(y, c)];
    const blurred = (of: (i: number) => number) =>
      blur(
        Float64Array.from({ length: size }, (_, i) => of(i)),
        height,
        width,
      );
    const [ma, mb] = [blur(a, height, width), blur(b, height, width)];
    const aa = blurred((i) => a[i] * a[i]);
    const bb = blurred((i) => b[i] * b[i]);
    const ab = blurred((i) => a[i] * b[i]);
    for (let i = 0; i < ma.length; i++) {
      const means = ma[i] * mb[i];
      const squares = ma[i] ** 2 + mb[i] ** 2;
      const variances = aa[i] + bb[i] - squares;
      sum += ((2 * means + c1) * (2 * (ab[i] - means) + c2)) / ((squares + c1) * (variances + c2));
    }
    count += ma.length;
  }
  return sum / count;
}

/** The weighted mean of each window within the picture: [H - 10, W - 10]. */
function blur(values: Float64Array, height: number, width: number): Float64Array {
  const [rows, columns] = [height - windowSize + 1, width - windowSize + 1];
  const lines = new Float64Array(height * columns);
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let k = 0; k < windowSize; k++) sum += weights[k] * values[r * width + c + k];
      lines[r * columns + c] = sum;
    }
  }
  const result = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let k = 0; k < windowSize; k++) sum += weights[k] * lines[(r + k) * columns + c];
      result[r * columns + c] = sum;
    }
  }
  return result;
}
