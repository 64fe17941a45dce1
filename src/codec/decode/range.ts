/**
 * @file Adaptive binary range decoder, with the counters and the mixer that predict each bit.
 *
 * Everything is a 32-bit integer, so that every engine decodes the same bits. A bit that is 1 with
 * probability p / 65536 is coded in three steps:
 *
 *   mixer    p = squash(sum_i w_i stretch(p_i))          p_i: the counters of four contexts
 *   coder    bound = (range >>> 16) p                    code < bound means 1
 *   update   w_i += rate (bit - p) stretch(p_i), and each p_i moves towards the bit
 */
import { DecodeError } from "./error.ts";

/**
 * What codes the bits of a model. An encoder writes `bit` and returns it; a decoder ignores `bit`
 * and returns the one that it read.
 */
export interface BitCoder {
  /** Codes one bit. `p` is the probability of a 1, 1 to 65535 of 65536. */
  code(p: number, bit: number): number;
  /** Codes 1 to 8 bits that are equally likely to be 0 or 1, without a model. */
  plain(bits: number, count: number): number;
}

/**
 * Range decoder (Martin 1979). The encoder settles carries, as in LZMA.
 *
 * The range has 31 bits, so that all values stay small integers. [0, range) is split at
 * (range >>> 16) * p; a code below the split is a 1. Whenever the range is under 2^23, a byte is
 * shifted in. At most four bytes past the end may be read, as 0; an encoder never relies on more.
 * The code begins as the first four bytes, of which the highest bit must be 0.
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

  /** The next bit, which is 1 with probability `p` / 65536. */
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

  /**
   * The next `count` bits, high bit first. Each of their 2^count values has an equal
   * part of the range.
   */
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

/** The logistic domain: log-odds ln(p / (1 - p)) in units of 1/256, clamped to +-LIMIT. */
const LIMIT = 3071;

/**
 * squash[LIMIT + d] = 65536 / (1 + e^(-d/256)), rounded, in 1..65535. The table is built with + * /
 * alone, because IEEE 754 defines these exactly: every engine gets the same table.
 */
const squash = new Int32Array(2 * LIMIT + 1);
/**
 * stretch[p >> 4] = the smallest d with squash(d) >> 4 >= p >> 4: the inverse of squash for
 * probabilities of 12 bits.
 */
const stretch = new Int32Array(4096);
/** 2^13 / (n + 1.5): how far a counter moves that has seen n bits. */
const counterRate = new Int32Array(1024);
/** 12 + 4800 / (n + 30): the learning rate of a weight set that was used n times. */
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

/** Words of a weight set: four weights, and how often the set was used. */
const WIDTH = 5;

/**
 * Predicts a bit from several contexts at once (logistic mixing; Mahoney 2005, PAQ).
 *
 * Each context owns a counter of 32 bits: 22 bits of probability above 10 bits of count. It moves
 * by 1 / (count + 1.5), so that it learns fast at first and settles later. A counter that has seen
 * nothing starts from the probability of the first of the four. The counters' log-odds are summed
 * with weights that are trained online by the coding error.
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

  /** Resets a counter to having seen nothing. */
  forget(counter: number): void {
    this.#counters[counter] = NEW;
  }

  /**
   * Codes one bit from the counters `a` to `d` with the weights of `set`. The code is unrolled,
   * because this function takes most of the decoding time.
   */
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
    // The rate falls with the number of times that the set was used.
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

/** A counter with probability 1/2 and count 0. */
const NEW = 1 << 31;

/** A counter that has seen nothing takes the first counter's probability. */
const known = (counter: number, first: number) =>
  (counter & 1023) === 0 ? (first & ~1023) | 1 : counter;

/** The probability of a 1 for a weighted sum of log-odds, which has 14 fraction bits. */
function probability(dot: number): number {
  const d = dot >> 14;
  return squash[d > LIMIT ? 2 * LIMIT : d < -LIMIT ? 0 : d + LIMIT];
}

/** One step of gradient descent on a weight of 14 fraction bits. */
function nudged(weight: number, input: number, step: number): number {
  return (weight + ((Math.imul(input, step) + 32768) >> 16)) | 0;
}

/**
 * The counter after a bit: its probability moves towards 0 or 2^22 - 1. There is no branch, because
 * the processor could not predict it.
 */
function counted(counter: number, bit: number): number {
  const count = counter & 1023;
  const distance = ((counter >>> 10) ^ (-bit & 4194303)) >>> 3;
  const move = Math.imul(distance, counterRate[count]) & ~1023;
  return counter + ((move ^ (bit - 1)) + 1 - bit) + (count < 1023 ? 1 : 0);
}
