/** @file Adaptive binary range decoder, and the counters and mixer that predict each bit, in integers. */
import { DecodeError } from "./error.ts";

/** What a model of bits talks to: an encoder writes `bit`, a decoder ignores it and returns its own. */
export interface BitCoder {
  /** `p`: the probability of a 1, in 1..65535 of 65536. */
  code(p: number, bit: number): number;
  /** 1 to 8 bits that are as likely as not. */
  plain(bits: number, count: number): number;
}

/**
 * Range decoder (Martin 1979; carries are settled by the encoder, as in LZMA) on 31 bits, so that
 * everything stays a small integer: [0, range) is split at (range >>> 16) * p, a 1 below it, and
 * refilled by a byte whenever it falls under 2^23. Bytes past the end read as 0, four at most: an
 * encoder never relies on more. The first byte is the top 7 bits of the code's first 31.
 */
export class RangeDecoder implements BitCoder {
  readonly #state = new Int32Array([0x7fffffff, 0]); // range, code
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    for (let i = 0; i < 4; i++) this.#state[1] = (this.#state[1] << 8) | this.#next();
    if (this.#state[1] < 0) throw new DecodeError("the coded numbers are cut");
  }

  #next(): number {
    if (this.#at < this.#bytes.length) return this.#bytes[this.#at++];
    if (++this.#at > this.#bytes.length + 4) throw new DecodeError("the coded numbers are cut");
    return 0;
  }

  code(p: number): number {
    const state = this.#state;
    let range = state[0];
    let code = state[1];
    const bound = Math.imul(range >>> 16, p);
    let bit = 0;
    if (code < bound) {
      range = bound;
      bit = 1;
    } else {
      range -= bound;
      code -= bound;
    }
    while (range < 0x800000) {
      range <<= 8;
      code = (code << 8) | this.#next();
    }
    state[0] = range;
    state[1] = code & 0x7fffffff; // keeps forged input an ordinary number
    return bit;
  }

  plain(_: number, count: number): number {
    const state = this.#state;
    let range = state[0] >>> count;
    const most = (1 << count) - 1;
    const ratio = (state[1] / range) | 0;
    const bits = ratio < most ? ratio : most;
    let code = state[1] - Math.imul(bits, range);
    while (range < 0x800000) {
      range <<= 8;
      code = (code << 8) | this.#next();
    }
    state[0] = range;
    state[1] = code & 0x7fffffff;
    return bits;
  }
}

/** The logistic domain: log-odds in 1/256, clamped to +-LIMIT. */
const LIMIT = 3071;

/**
 * squash[LIMIT + d] = 65536 / (1 + e^(-d/256)), rounded, in 1..65535. IEEE + * / only, so every
 * engine builds the same table.
 */
const squash = new Int32Array(2 * LIMIT + 1);
/** stretch[p >> 4] = the smallest d with squash(d) >> 4 >= p >> 4, squash's inverse on 12 bits. */
const stretch = new Int32Array(4096);
/** 2^13 / (n + 1.5): how far a counter that has seen n bits moves. */
const counterRate = new Int32Array(1024);
/** How fast a weight set that has been used n times learns. */
const mixerRate = new Int32Array(1024);

for (let d = 0, x = 1; d <= LIMIT; d++, x *= 1.0039138893383475) {
  const p = Math.min(Math.floor(65536 / (1 + 1 / x) + 0.5), 65535);
  squash[LIMIT + d] = p;
  squash[LIMIT - d] = 65536 - p;
}
for (let d = -LIMIT, i = 0; d <= LIMIT; d++) {
  for (; i <= squash[LIMIT + d] >> 4; i++) stretch[i] = d;
}
for (let n = 0; n < 1024; n++) {
  counterRate[n] = Math.floor(8192 / (n + 1.5));
  mixerRate[n] = 12 + Math.floor(4800 / (n + 30));
}

/** Inputs a weight set has room for. */
const WIDTH = 5;

/**
 * Predicts a bit from several contexts at once (logistic mixing, Mahoney 2005, PAQ). Each context
 * owns a counter: 22 bits of probability over 10 bits of count, moving by 1/(count + 1.5), so that
 * it learns fast at first and settles later; a counter met for the first time starts from the
 * first context's belief. The counters' log-odds are summed with weights that follow the error.
 */
export class Mixer {
  readonly #counters: Int32Array;
  readonly #weights: Int32Array;
  readonly #coder: BitCoder;

  constructor(coder: BitCoder, counters: number, sets: number) {
    this.#coder = coder;
    this.#counters = new Int32Array(counters).fill(NEW);
    this.#weights = new Int32Array(sets * WIDTH).fill(3277); // 0.2 of 16384
    for (let used = WIDTH - 1; used < this.#weights.length; used += WIDTH) this.#weights[used] = 0;
  }

  /** Makes a counter new again. */
  forget(counter: number): void {
    this.#counters[counter] = NEW;
  }

  /** Codes one bit from four counters and the weights of `set`; unrolled, for this is where the time goes. */
  code(bit: number, set: number, a: number, b: number, c: number, d: number): number {
    const counters = this.#counters;
    const weights = this.#weights;
    const w = set * WIDTH;
    const ca = counters[a];
    const cb = known(counters[b], ca);
    const cc = known(counters[c], ca);
    const cd = known(counters[d], ca);
    const sa = stretch[ca >>> 20];
    const sb = stretch[cb >>> 20];
    const sc = stretch[cc >>> 20];
    const sd = stretch[cd >>> 20];
    const wa = weights[w];
    const wb = weights[w + 1];
    const wc = weights[w + 2];
    const wd = weights[w + 3];
    const used = weights[w + 4];
    const dot = Math.imul(sa, wa) + Math.imul(sb, wb) + Math.imul(sc, wc) + Math.imul(sd, wd);
    const p = probability(dot | 0);
    const y = this.#coder.code(p, bit);
    // A set learns more slowly the more it was used.
    const step = Math.imul((y << 16) - p, mixerRate[used]) >> 6;
    weights[w] = nudged(wa, sa, step);
    weights[w + 1] = nudged(wb, sb, step);
    weights[w + 2] = nudged(wc, sc, step);
    weights[w + 3] = nudged(wd, sd, step);
    weights[w + 4] = used + (used < 1023 ? 1 : 0);
    counters[a] = counted(ca, y);
    counters[b] = counted(cb, y);
    counters[c] = counted(cc, y);
    counters[d] = counted(cd, y);
    return y;
  }
}

const NEW = 1 << 31;

/** A counter that has seen nothing believes what the first one does. */
const known = (counter: number, first: number) =>
  (counter & 1023) === 0 ? (first & ~1023) | 1 : counter;

function probability(dot: number): number {
  const d = dot >> 14;
  return squash[d > LIMIT ? 2 * LIMIT : d < -LIMIT ? 0 : d + LIMIT];
}

function nudged(weight: number, input: number, step: number): number {
  return (weight + ((Math.imul(input, step) + 32768) >> 16)) | 0;
}

/** The counter after a bit: p moves to 0 or to 2^22 - 1; without a branch, for the bit is a surprise. */
function counted(counter: number, bit: number): number {
  const count = counter & 1023;
  const distance = ((counter >>> 10) ^ (-bit & 4194303)) >>> 3;
  const move = Math.imul(distance, counterRate[count]) & ~1023;
  return counter + ((move ^ (bit - 1)) + 1 - bit) + (count < 1023 ? 1 : 0);
}
