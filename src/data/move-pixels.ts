/** @file Random changes of images: moves, mirrors, warps, zooms, lights, blends and erases them. */
import type { Random } from "../numeric/random.ts";
import type { Window } from "./dataset.ts";

/** Images in one array. */
export interface Pixels {
  readonly data: Float32Array;
  readonly count: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly layout: "nchw" | "nhwc";
  /** The value of a black pixel in each channel, after normalization. */
  readonly black: Float32Array;
}

/** What fills the border: black, the nearest pixel, or the image mirrored at the border. */
export const fills = ["zero", "edge", "reflect"] as const;
export type Fill = (typeof fills)[number];

/** The distances in the array between images, channels, rows and columns. */
function strides({ channels, height, width, layout }: Pixels) {
  const image = channels * height * width;
  return layout === "nchw"
    ? { image, channel: height * width, row: width, column: 1 }
    : { image, channel: 1, row: width * channels, column: channels };
}

/** The index within an axis of `size` that stands for `i`, or -1 for black. */
function inside(i: number, size: number, fill: Fill): number {
  if (i >= 0 && i < size) return i;
  if (fill === "zero") return -1;
  if (fill === "edge" || size === 1) return i < 0 ? 0 : size - 1;
  const period = 2 * (size - 1);
  const folded = ((i % period) + period) % period;
  return folded < size ? folded : period - folded;
}

/** A uniform whole number from -most to most. */
const around = (most: number, random: Random): number => random.int(2 * most + 1) - most;

/** Moves each image by up to `shift` pixels each way, and mirrors half of them left to right. */
export function place(
  pixels: Pixels,
  { shift, flip, fill }: { readonly shift: number; readonly flip: boolean; readonly fill: Fill },
  random: Random,
): Float32Array {
  const { data, count, channels, height, width, black } = pixels;
  const { image, channel, row, column } = strides(pixels);
  const out = new Float32Array(data.length);
  const rows = new Int32Array(height);
  const from = new Int32Array(width);
  const none = new Int32Array(width).fill(-1);
  for (let n = 0; n < count; n++) {
    const isMirrored = flip && random.int(2) === 1;
    const [down, right] = [around(shift, random), around(shift, random)];
    for (let y = 0; y < height; y++) rows[y] = inside(y - down, height, fill);
    for (let x = 0; x < width; x++) {
      const i = inside(x - right, width, fill);
      from[isMirrored ? width - 1 - x : x] = i < 0 ? -1 : i * column;
    }
    for (let c = 0; c < channels; c++) {
      const blank = black[c];
      const start = n * image + c * channel;
      for (let y = 0, line = start; y < height; y++, line += row) {
        const isOutside = rows[y] < 0;
        const source = isOutside ? start : start + rows[y] * row;
        const columns = isOutside ? none : from;
        for (let x = 0; x < width; x++) {
          const at = columns[x];
          out[line + x * column] = at < 0 ? blank : data[source + at];
        }
      }
    }
  }
  return out;
}

/**
 * Rotates each image about its centre by up to `strength` degrees, and zooms and shears it by up to
 * `strength` percent, with bilinear interpolation.
 */
export function warp(
  pixels: Pixels,
  { strength, fill }: { readonly strength: number; readonly fill: Fill },
  random: Random,
): Float32Array {
  const amount = (): number => strength * (2 * random.float() - 1);
  return resample(pixels, fill, () => ({
    ...linearMap(amount(), 1 + amount() / 100, amount() / 100),
    down: 0,
    right: 0,
  }));
}

/**
 * A random window of an image. Its area is a share of the image's between `least` and 1; its aspect
 * ratio, relative to the image, is between 3/4 and 4/3 (Szegedy et al. 2014, arXiv 1409.4842).
 */
export function randomWindow(least: number, random: Random): Window {
  const side = Math.sqrt(least + (1 - least) * random.float());
  const narrow = Math.sqrt(0.75 + 0.25 * random.float());
  const isWide = random.int(2) === 1;
  const width = Math.min(1, isWide ? side / narrow : side * narrow);
  const height = Math.min(1, isWide ? side * narrow : side / narrow);
  const [down, right] = [random.float(), random.float()];
  return { top: down * (1 - height), left: right * (1 - width), height, width };
}

/** Stretches a random window of each image to the whole image, with bilinear interpolation. */
export function zoom(pixels: Pixels, least: number, random: Random): Float32Array {
  return resample(pixels, "edge", () => {
    const { top, left, height, width } = randomWindow(least, random);
    const down = (top + height / 2 - 0.5) * pixels.height;
    const right = (left + width / 2 - 0.5) * pixels.width;
    return { xx: width, xy: 0, yx: 0, yy: height, down, right };
  });
}

/**
 * Where a pixel comes from: its place relative to the image's centre, times the matrix [xx xy; yx
 * yy], plus the translation (right, down) in pixels.
 */
interface Origin {
  readonly xx: number;
  readonly xy: number;
  readonly yx: number;
  readonly yy: number;
  readonly down: number;
  readonly right: number;
}

/**
 * Each image with an origin of its own, by bilinear interpolation. `originOf` is called
 * once for each image.
 */
function resample(pixels: Pixels, fill: Fill, originOf: () => Origin): Float32Array {
  const { data, count, channels, height, width, black } = pixels;
  const { image, channel, row, column } = strides(pixels);
  const out = new Float32Array(data.length);
  const [middleY, middleX] = [(height - 1) / 2, (width - 1) / 2];
  for (let n = 0; n < count; n++) {
    const { xx, xy, yx, yy, down, right } = originOf();
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const fromX = middleX + right + xx * (x - middleX) + xy * (y - middleY);
        const fromY = middleY + down + yx * (x - middleX) + yy * (y - middleY);
        const left = Math.floor(fromX);
        const top = Math.floor(fromY);
        const shareX = fromX - left;
        const shareY = fromY - top;
        const x0 = inside(left, width, fill);
        const x1 = inside(left + 1, width, fill);
        const y0 = inside(top, height, fill);
        const y1 = inside(top + 1, height, fill);
        for (let c = 0; c < channels; c++) {
          const blank = black[c];
          const start = n * image + c * channel;
          const upper = start + y0 * row;
          const lower = start + y1 * row;
          const a = y0 < 0 || x0 < 0 ? blank : data[upper + x0 * column];
          const b = y0 < 0 || x1 < 0 ? blank : data[upper + x1 * column];
          const d = y1 < 0 || x0 < 0 ? blank : data[lower + x0 * column];
          const e = y1 < 0 || x1 < 0 ? blank : data[lower + x1 * column];
          const above = a + shareX * (b - a);
          const below = d + shareX * (e - d);
          out[start + y * row + x * column] = above + shareY * (below - above);
        }
      }
    }
  }
  return out;
}

/**
 * Rotation times zoom times shear. Sine and cosine come from t, the tangent of half the angle, by
 * two terms of its series, because engines round Math.sin differently, and the same seed must
 * give the same bytes:
 *
 *   t = a/2 + (a/2)^3 / 3,   cos a = (1 - t^2) / (1 + t^2),   sin a = 2 t / (1 + t^2)
 */
function linearMap(degrees: number, zoom: number, shear: number) {
  const half = (degrees * Math.PI) / 360;
  const t = half * (1 + (half * half) / 3);
  const [cos, sin] = [(1 - t * t) / (1 + t * t), (2 * t) / (1 + t * t)];
  return {
    xx: zoom * cos,
    xy: zoom * (cos * shear - sin),
    yx: zoom * sin,
    yy: zoom * (sin * shear + cos),
  };
}

/**
 * Blackens, in place, a square of `side` pixels at a random place in each image, cut off at the
 * border (cutout: DeVries and Taylor 2017, arXiv 1708.04552).
 */
export function erase(pixels: Pixels, side: number, random: Random): void {
  const { data, count, channels, height, width, black } = pixels;
  const { image, channel, row, column } = strides(pixels);
  const range = (size: number): readonly [number, number] => {
    const first = random.int(size) - (side >> 1);
    return [Math.max(0, first), Math.min(size, first + side)];
  };
  for (let n = 0; n < count; n++) {
    const [top, bottom] = range(height);
    const [left, right] = range(width);
    for (let c = 0; c < channels; c++) {
      const start = n * image + c * channel;
      for (let y = top; y < bottom; y++) {
        for (let x = left; x < right; x++) data[start + y * row + x * column] = black[c];
      }
    }
  }
}

/**
 * Changes brightness and contrast of each image in place, all channels alike, by up to
 * `strength` of its own range:
 *
 *   v -> mean + contrast (v - mean) + shift
 */
export function relight(pixels: Pixels, strength: number, random: Random): void {
  const { data, count } = pixels;
  const size = data.length / count;
  for (let n = 0; n < count; n++) {
    const image = data.subarray(n * size, (n + 1) * size);
    let [least, most, sum] = [image[0], image[0], 0];
    for (const v of image) {
      if (v < least) least = v;
      if (v > most) most = v;
      sum += v;
    }
    const mean = sum / size;
    const contrast = 1 + strength * (2 * random.float() - 1);
    const shift = (most - least) * strength * (random.float() - 0.5);
    for (let i = 0; i < size; i++) image[i] = mean + contrast * (image[i] - mean) + shift;
  }
}

/**
 * Blends each image with another one of the batch, which gets a weight of up to 1/2: mixup (Zhang
 * et al. 2018, arXiv 1710.09412). The labels stay the same, because this is for students of a
 * teacher that sees the blend, too (Beyer et al. 2022, arXiv 2106.05237).
 */
export function blend({ data, count }: Pixels, random: Random): Float32Array {
  const out = new Float32Array(data.length);
  const size = data.length / count;
  const away = count > 1 ? 1 + random.int(count - 1) : 0;
  for (let n = 0; n < count; n++) {
    const share = random.float() / 2;
    const [mine, other] = [n * size, ((n + away) % count) * size];
    for (let i = 0; i < size; i++) {
      out[mine + i] = data[mine + i] + share * (data[other + i] - data[mine + i]);
    }
  }
  return out;
}
