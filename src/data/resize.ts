/** @file Image resizing, the same bytes on every platform: triangle filter, widened when shrinking. */
import type { Image } from "../platform.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * Scales until the image just covers `size`, then crops the centre. Equal to Pillow's BILINEAR, and
 * so to torchvision's Resize, up to one grey level of rounding.
 */
export function coverImage(image: Image, size: Size): Image {
  const { width, height, channels } = image;
  if (width === size.width && height === size.height) return image;
  const scale = Math.max(size.width / width, size.height / height);
  const columns = taps(width, Math.max(size.width, Math.round(width * scale)), size.width);
  const rows = taps(height, Math.max(size.height, Math.round(height * scale)), size.height);
  const out = new Uint8Array(size.width * size.height * channels);
  down(across(image, columns, rows), rows, size.width * channels, out);
  return { ...size, channels, data: out };
}

/** Horizontal pass, on the rows that the vertical one reads. */
function across({ width, height, channels, data }: Image, columns: Taps[], rows: Taps[]) {
  const out = new Float32Array(height * columns.length * channels);
  const last = rows[rows.length - 1];
  const end = last.first + last.weights.length;
  let at = rows[0].first * columns.length * channels;
  for (let y = rows[0].first; y < end; y++) {
    for (const { first, weights } of columns) {
      const from = (y * width + first) * channels;
      for (let c = 0; c < channels; c++, at++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * data[from + k * channels + c];
        out[at] = sum;
      }
    }
  }
  return out;
}

/** Vertical pass, a row of `stride` values at a time. */
function down(values: Float32Array, rows: Taps[], stride: number, out: Uint8Array): void {
  const sums = new Float32Array(stride);
  rows.forEach(({ first, weights }, y) => {
    sums.fill(0.5);
    weights.forEach((weight, k) => {
      const from = (first + k) * stride;
      for (let x = 0; x < stride; x++) sums[x] += weight * values[from + x];
    });
    out.set(sums, y * stride); // weights are positive and sum to 1: at most 255.5, truncated
  });
}

/** The middle `size` of an image at least that large. */
export function cropCentre(image: Image, size: Size): Image {
  const { width, height, channels, data } = image;
  if (width === size.width && height === size.height) return image;
  const left = middle(width, size.width);
  const top = middle(height, size.height);
  const stride = size.width * channels;
  const out = new Uint8Array(size.height * stride);
  for (let y = 0; y < size.height; y++) {
    const from = ((top + y) * width + left) * channels;
    out.set(data.subarray(from, from + stride), y * stride);
  }
  return { ...size, channels, data: out };
}

/** Where a centred window begins; the odd pixel goes to the near side, as libvips does. */
function middle(outer: number, inner: number): number {
  return (outer - inner + 1) >> 1;
}

/** The source pixels under one output pixel. */
interface Taps {
  readonly first: number;
  readonly weights: Float64Array;
}

/** Source pixels and weights of the `wanted` central pixels of an axis scaled `from` -> `to`. */
function taps(from: number, to: number, wanted: number): Taps[] {
  const ratio = from / to;
  const reach = Math.max(1, ratio);
  const start = middle(to, wanted);
  return Array.from({ length: wanted }, (_, i) => {
    const centre = (start + i + 0.5) * ratio - 0.5;
    const first = Math.max(0, Math.ceil(centre - reach));
    const last = Math.min(from - 1, Math.floor(centre + reach));
    const weights = Float64Array.from(
      { length: last - first + 1 },
      (_, k) => 1 - Math.abs(first + k - centre) / reach,
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((w) => w / sum) };
  });
}
