/**
 * @file Image resizing with the same bytes on every platform: a triangle filter, which is
 * widened when it shrinks.
 *
 * An output pixel at the source position p is the mean of the source pixels i with the weights
 *
 *   w_i = max(0, 1 - |i - p| / reach),   reach = max(1, source pixels per output pixel)
 */
import type { Image } from "../platform.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A part of an image in pixels, which need not be whole. */
export interface Area extends Size {
  readonly left: number;
  readonly top: number;
}

/**
 * Scales an image until it just covers `size`, then crops the centre. The result equals that of
 * Pillow's BILINEAR, and so torchvision's Resize, up to one grey level of rounding.
 */
export function coverImage(image: Image, size: Size): Image {
  const { width, height } = image;
  if (width === size.width && height === size.height) return image;
  const scale = Math.max(size.width / width, size.height / height);
  const centred = (from: number, wanted: number): Taps[] => {
    const to = Math.max(wanted, Math.round(from * scale));
    return taps(from, from / to, middle(to, wanted), wanted);
  };
  return stretch(image, centred(width, size.width), centred(height, size.height));
}

/** Scales an image until it just fits into `size`; the rest, on both sides, gets the value `fill`. */
export function containImage(image: Image, size: Size, fill: number): Image {
  const { width, height, channels } = image;
  const scale = Math.min(size.width / width, size.height / height);
  const fitted = (length: number, most: number) =>
    Math.min(most, Math.max(1, Math.round(length * scale)));
  const inner = { width: fitted(width, size.width), height: fitted(height, size.height) };
  const { data } = resizeArea(image, { left: 0, top: 0, width, height }, inner);
  const out = new Uint8Array(size.width * size.height * channels).fill(fill);
  const [left, top] = [middle(size.width, inner.width), middle(size.height, inner.height)];
  const stride = inner.width * channels;
  for (let y = 0; y < inner.height; y++) {
    const at = ((top + y) * size.width + left) * channels;
    out.set(data.subarray(y * stride, (y + 1) * stride), at);
  }
  return { ...size, channels, data: out };
}

/** A part of an image, scaled to `size` with the same filter. */
export function resizeArea(image: Image, area: Area, size: Size): Image {
  const along = (from: number, start: number, length: number, wanted: number): Taps[] =>
    taps(from, length / wanted, (start * wanted) / length, wanted);
  const columns = along(image.width, area.left, area.width, size.width);
  return stretch(image, columns, along(image.height, area.top, area.height, size.height));
}

/** The image with these source pixels under each output column and row. */
function stretch(image: Image, columns: Taps[], rows: Taps[]): Image {
  const { channels } = image;
  const [width, height] = [columns.length, rows.length];
  const out = new Uint8Array(width * height * channels);
  down(across(image, columns, rows), rows, width * channels, out);
  return { width, height, channels, data: out };
}

/** The horizontal pass, on the rows that the vertical one reads. */
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

/** The vertical pass, a row of `stride` values at a time. */
function down(values: Float32Array, rows: Taps[], stride: number, out: Uint8Array): void {
  const sums = new Float32Array(stride);
  rows.forEach(({ first, weights }, y) => {
    sums.fill(0.5);
    weights.forEach((weight, k) => {
      const from = (first + k) * stride;
      for (let x = 0; x < stride; x++) sums[x] += weight * values[from + x];
    });
    // The weights are positive and sum to 1, so that sums are at most 255.5 and truncate to bytes.
    out.set(sums, y * stride);
  });
}

/** The middle of an image at least as large as `size`. */
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

/** Where a centred window begins. An odd pixel more is left at the beginning, as libvips does. */
function middle(outer: number, inner: number): number {
  return (outer - inner + 1) >> 1;
}

/** The source pixels under one output pixel. */
interface Taps {
  readonly first: number;
  readonly weights: Float64Array;
}

/**
 * The source pixels and weights of `wanted` output pixels along an axis of `from` source pixels.
 * Each output pixel covers `ratio` source pixels, and `start` of them lie before the first one.
 */
function taps(from: number, ratio: number, start: number, wanted: number): Taps[] {
  const reach = Math.max(1, ratio);
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
