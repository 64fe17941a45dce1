/** @file Image resizing, the same bytes on every platform: triangle filter, widened when shrinking. */
import type { Image } from "../platform.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * Scales until the image just covers `size`, then crops the centre: what Pillow's antialiased
 * BILINEAR and libvips' linear kernel compute, up to one grey level of rounding.
 */
export function coverImage(image: Image, size: Size): Image {
  const { width, height, channels, data } = image;
  if (width === size.width && height === size.height) return image;
  const scale = Math.max(size.width / width, size.height / height);
  const columns = taps(width, Math.max(size.width, Math.round(width * scale)), size.width);
  const rows = taps(height, Math.max(size.height, Math.round(height * scale)), size.height);

  const across = new Float32Array(height * size.width * channels);
  for (let y = 0, at = 0; y < height; y++) {
    for (const { first, weights } of columns) {
      for (let c = 0; c < channels; c++, at++) {
        let sum = 0;
        let from = (y * width + first) * channels + c;
        for (let k = 0; k < weights.length; k++, from += channels) sum += weights[k] * data[from];
        across[at] = sum;
      }
    }
  }
  const stride = size.width * channels;
  const out = new Uint8Array(size.height * stride);
  for (let y = 0, at = 0; y < size.height; y++) {
    const { first, weights } = rows[y];
    for (let x = 0; x < stride; x++, at++) {
      let sum = 0.5;
      let from = first * stride + x;
      for (let k = 0; k < weights.length; k++, from += stride) sum += weights[k] * across[from];
      out[at] = sum; // weights are positive and sum to 1: within 0..255.5, truncated
    }
  }
  return { ...size, channels, data: out };
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

/** Source pixels and weights of the `wanted` central pixels of an axis scaled `from` -> `to`. */
function taps(from: number, to: number, wanted: number) {
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
