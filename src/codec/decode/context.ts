/**
 * @file Integers <-> adaptive bits, each predicted from its neighbours: in the manner of DeepCABAC
 * (Wiedemann et al. 2019, arXiv 1907.11900), with the contexts mixed instead of chosen.
 *
 * An integer v is coded as
 *   v != 0 | v < 0 | the class k = floor(log2 |v|) | the k bits of |v| below the first, high to low
 * The neighbours of element i are those already coded at i - 1 and i - 2 (same row), i - columns
 * and i - 2 columns (row above), i - kernel and i - 2 kernel (channel before) and i - lag, a distance
 * that the encoder found. Before the first element there are zeros.
 */
import { type BitCoder, Mixer } from "./range.ts";
import { level, type Shape } from "./shape.ts";

/** Largest |v| is 2^31 - 1. */
export const MAX_CLASS = 30;

const cap = (x: number, max: number) => (x < max ? x : max);
/** Octaves: 0, then 1 + floor(log2 x), at most 7. */
const octave = (x: number) => cap(32 - Math.clz32(x), 7);

/** How an encoder asked: what a tensor has no use for is not asked, and what is likely first. */
export interface CoderOptions {
  /** Distance of the far neighbour. */
  readonly lag: number;
  /** Of the classes k of its non-zero integers: the least, the largest, and the one asked for first. */
  readonly least: number;
  readonly most: number;
  readonly first: number;
  /** Low bits of a magnitude that are plain. */
  readonly low: number;
}

/** All classes from below, no plain bits: fit for anything. */
export const usual: CoderOptions = { lag: 2, least: 0, most: MAX_CLASS, first: 0, low: 0 };

/**
 * One pass over `values`, in order: an encoder's `coder` writes what is there, a decoder's fills it.
 * The same function runs on both sides, so that the models cannot part.
 */
export function codeByContext(
  coder: BitCoder,
  values: Int32Array,
  { size, rows, columns, kernel, channels }: Shape,
  { lag, least, most, first, low }: CoderOptions,
): void {
  // Counters, by what they look at.
  let counters = 0;
  const take = (count: number) => (counters += count) - count;
  const single = kernel === 1;
  const near = take(128);
  const column = take(columns);
  const row = take(1);
  const density = take(512);
  const place = take(kernel * 3);
  const signAny = take(3);
  const signPattern = take(81);
  const signColumn = take(columns);
  const signRow = take(1);
  const signPlace = take(kernel);
  const classAny = take(32 * 4 * 64);
  const bitAny = take(16 * 8);
  const bitTree = take(16 * 256);
  const bitSigned = take(32 * 256);
  const bitScale = take(16 * 16 * 64);
  const mixer = new Mixer(coder, counters, 56);

  // Magnitudes (255 at most) and signs (1 negative, 2 positive) of what is coded, zeros in front.
  const front = Math.max(2 * columns, 2 * kernel, lag, 2) + 1;
  const magnitudes = new Uint8Array(front + size);
  const signs = new Uint8Array(front + size);
  const nonzeros = new Int32Array(columns);
  const scales = new Scales(channels, kernel);

  for (let r = 0, i = 0; r < rows; r++) {
    mixer.forget(row);
    mixer.forget(signRow);
    scales.newRow();
    const age = octave(r);
    let rowNonzeros = 0;
    for (let c = 0; c < columns; c++, i++) {
      const j = front + i;
      const a = magnitudes[j - 1];
      const a2 = magnitudes[j - 2];
      const up = magnitudes[j - columns];
      const up2 = magnitudes[j - 2 * columns];
      const before = magnitudes[j - kernel];
      const far = magnitudes[j - lag];
      const sides =
        (signs[j - lag - 1] && 1) +
        (signs[j - lag + 1] && 1) +
        (signs[j - columns - 1] && 1) +
        (signs[j - columns + 1] && 1);
      const around =
        2 * (cap(a, 2) + cap(far, 2) + cap(up, 2)) +
        cap(a2, 2) +
        cap(up2, 2) +
        cap(before, 2) +
        sides;
      const spot = single ? 0 : c % kernel;
      const group = single ? c : (c / kernel) | 0;
      const old = r === 0 ? 7 : octave(((nonzeros[c] * 64) / r) | 0);
      const recent = c === 0 ? 7 : octave(((rowNonzeros * 64) / c) | 0);
      const significant = mixer.code(
        values[i] !== 0 ? 1 : 0,
        age,
        near + cap(around, 31) * 4 + cap(up, 1) + 2 * cap(far, 1),
        column + c,
        single ? row : place + spot * 3 + cap(a, 2),
        density + old * 64 + recent * 8 + cap(around, 7),
      );
      if (significant === 0) {
        values[i] = 0;
        continue;
      }

      const negative = mixer.code(
        values[i] < 0 ? 1 : 0,
        8 + age,
        signPattern +
          signs[j - 1] +
          3 * signs[j - columns] +
          9 * signs[j - kernel] +
          27 * signs[j - lag],
        signColumn + c,
        signRow,
        single ? signAny + signs[j - 1] : signPlace + spot,
      );

      const magnitude = values[i] < 0 ? -values[i] : values[i];
      const last = 31 - Math.clz32(magnitude);
      const beside = (((2 * (a + up + before) + a2 + far + up2) * 16) / 9) | 0;
      const besideLevel = cap(level(beside) >> 1, 63);
      scales.look(group, spot);
      // Is k larger than t? From `first` on, upwards after a yes and downwards after a no.
      let t = first;
      let step = 0;
      while (t >= least && t < most) {
        const base = classAny + t * 256;
        const more = mixer.code(
          t < last ? 1 : 0,
          16 + t,
          base + besideLevel,
          base + 64 + scales.row,
          base + 128 + scales.channel,
          base + 192 + scales.all,
        );
        const way = more ? 1 : -1;
        if (way === -step) break;
        step = way;
        t += way;
      }
      const k = step < 0 ? t + 1 : t;

      const width = cap(k, 15); // wider numbers share counters
      const plain = k - 8 > low ? k - 8 : cap(k, low);
      let value = 1;
      for (let b = k - 1; b >= plain; b--) {
        const depth = k - 1 - b;
        const bit = mixer.code(
          (magnitude >> b) & 1,
          48 + depth,
          bitAny + width * 8 + depth,
          bitTree + (width << 8) + value,
          bitSigned + (((width << 1) | negative) << 8) + value,
          bitScale + (((width << 4) + (depth < 2 ? value : depth + 2)) << 6) + scales.all,
        );
        value = (value << 1) | bit;
      }
      for (let b = plain; b > 0; ) {
        const count = b < 8 ? b : 8;
        b -= count;
        value = (value << count) | coder.plain((magnitude >> b) & ((1 << count) - 1), count);
      }

      values[i] = negative ? -value : value;
      magnitudes[j] = cap(value, 255);
      signs[j] = 2 - negative;
      rowNonzeros++;
      nonzeros[c]++;
      scales.add(cap(value - 1, 4095), group, spot);
    }
  }
}

/** Running means of |v| - 1 over the non-zero v: of all, the row, each place and each channel; as half octaves. */
class Scales {
  row = 0;
  channel = 0;
  /** Row, channel and place together. */
  all = 0;
  readonly #sums: Int32Array;
  readonly #counts: Int32Array;
  readonly #channels: number;

  constructor(channels: number, kernel: number) {
    this.#channels = 2 + kernel;
    this.#sums = new Int32Array(2 + kernel + channels);
    this.#counts = new Int32Array(this.#sums.length);
  }

  newRow(): void {
    this.#sums[1] = this.#counts[1] = 0;
  }

  look(group: number, spot: number): void {
    const mean = this.#counts[0] ? ((this.#sums[0] * 16) / this.#counts[0]) | 0 : 32;
    const all = level(mean);
    const row = level(this.#mean(1, mean, 2));
    const channel = level(this.#mean(this.#channels + group, mean, 2));
    const single = this.#channels === 3;
    const place = single ? all : level(this.#mean(2 + spot, mean, 8));
    const product = row + channel + place - 2 * all;
    this.row = cap(row >> 1, 63);
    this.all = product < 0 ? 0 : cap(product >> 1, 63);
    this.channel = single ? this.all : cap(channel >> 1, 63);
  }

  add(x: number, group: number, spot: number): void {
    this.#put(0, x);
    this.#put(1, x);
    this.#put(2 + spot, x);
    this.#put(this.#channels + group, x);
  }

  /** Mean times 16, `weight` elements of the overall mean included. */
  #mean(i: number, mean: number, weight: number): number {
    return ((this.#sums[i] * 16 + mean * weight) / (this.#counts[i] + weight)) | 0;
  }

  #put(i: number, x: number): void {
    if (this.#counts[i] === 1023) {
      this.#counts[i] = 512;
      this.#sums[i] >>= 1;
    }
    this.#sums[i] += x;
    this.#counts[i]++;
  }
}
