/**
 * @file Codes integers as adaptive bits, each predicted from the element's neighbours, after
 * DeepCABAC (Wiedemann et al. 2019, arXiv 1907.11900). DeepCABAC chooses one context for each bit;
 * here several contexts are mixed (range.ts).
 *
 * An integer v is coded as these binary decisions:
 *
 *   v != 0 | v < 0 | the class k = floor(log2 |v|) | the k bits of |v| below the first, high to low
 *
 * The neighbours of element i are those already coded at i - 1 and i - 2 (same row), i - columns
 * and i - 2 columns (rows above), i - kernel (channel before) and i - lag, a distance that the
 * encoder found. Before the first element there are zeros.
 */
import { type BitCoder, Mixer } from "./range.ts";
import { level, type Shape } from "./shape.ts";

/** The largest class: |v| is at most 2^31 - 1. */
export const MAX_CLASS = 30;

const cap = (x: number, max: number) => (x < max ? x : max);
/** 0 for 0, otherwise 1 + floor(log2 x); at most 7. */
const octave = (x: number) => cap(32 - Math.clz32(x), 7);

/**
 * What an encoder chose for one tensor, so that decisions with only one possible outcome are not
 * coded, and the likely class is tried first.
 */
export interface CoderOptions {
  /** Distance of the far neighbour. */
  readonly lag: number;
  /** The least and the largest class k of the non-zero integers, and the one compared first. */
  readonly least: number;
  readonly most: number;
  readonly first: number;
  /** How many low bits of a magnitude are coded without a model. */
  readonly low: number;
}

/** Options that fit any tensor: all classes, compared from the least one up; no plain bits. */
export const usual: CoderOptions = { lag: 2, least: 0, most: MAX_CLASS, first: 0, low: 0 };

/**
 * Passes once over `values`, in order. An encoder's `coder` writes the values; a decoder's coder
 * gives the decisions, and `values` is filled with the result. The same function runs on both
 * sides, so that their models always agree. `values` has `size` elements, [rows, columns].
 */
export function codeByContext(
  coder: BitCoder,
  values: Int32Array,
  { size, rows, columns, kernel, channels }: Shape,
  { lag, least, most, first, low }: CoderOptions,
): void {
  // The mixer has one array of counters. Each context takes a range of it: this is where it begins.
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

  // What is already coded, with zeros in front: magnitudes (255 at most), and signs
  // (1 negative, 2 positive).
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
      // Is k larger than t? The comparison starts at `first` and goes up after a yes, down after a
      // no, until the answer changes.
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

/**
 * Running means of |v| - 1 over the non-zero v, of the whole tensor, the row, each place in the
 * kernel and each channel. Contexts use them as levels of half an octave.
 */
class Scales {
  /** Level of the row's mean. */
  row = 0;
  /** Level of the channel's mean; for a kernel of 1 the same as `all`. */
  channel = 0;
  /**
   * Level of row mean x channel mean x place mean / mean^2, which estimates the size of the next
   * value.
   */
  all = 0;
  /** Sums and counts by index: 0 all, 1 the row, 2 ... the places, then the channels. */
  readonly #sums: Int32Array;
  readonly #counts: Int32Array;
  readonly #channels: number;

  constructor(channels: number, kernel: number) {
    this.#channels = 2 + kernel;
    this.#sums = new Int32Array(2 + kernel + channels);
    this.#counts = new Int32Array(this.#sums.length);
  }

  /** Forgets the mean of the row. */
  newRow(): void {
    this.#sums[1] = this.#counts[1] = 0;
  }

  /** Sets `row`, `channel` and `all` for the element at place `spot` of channel `group`. */
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

  /** Adds x = |v| - 1 of a non-zero element to its four means. */
  add(x: number, group: number, spot: number): void {
    this.#put(0, x);
    this.#put(1, x);
    this.#put(2 + spot, x);
    this.#put(this.#channels + group, x);
  }

  /** A mean in 1/16, smoothed by `weight` pseudo-counts of the overall mean. */
  #mean(i: number, mean: number, weight: number): number {
    return ((this.#sums[i] * 16 + mean * weight) / (this.#counts[i] + weight)) | 0;
  }

  /** Adds to a sum. A count of 1023 is halved first, so that old elements lose weight. */
  #put(i: number, x: number): void {
    if (this.#counts[i] === 1023) {
      this.#counts[i] = 512;
      this.#sums[i] >>= 1;
    }
    this.#sums[i] += x;
    this.#counts[i]++;
  }
}
