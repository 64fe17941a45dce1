/**
 * @file Chooses integers one by one while the context coder runs, by the bits that each would take
 * at that moment: rate-distortion quantization as in DeepCABAC (Wiedemann et al. 2019, arXiv
 * 1907.11900, section III).
 */
import { log } from "../../numeric/log.ts";
import { codeByContext, usual } from "../decode/context.ts";
import type { BitCoder } from "../decode/range.ts";
import { shapeOf } from "../decode/shape.ts";
import { findLag } from "./lag.ts";

export interface Chosen {
  readonly values: Int32Array;
  /** Size in bits by the context coder's probabilities. */
  readonly bits: number;
  /** sum_i importance_i (x_i - v_i)^2 */
  readonly distortion: number;
}

/**
 * Integers v near `x` that make the sum over all elements of
 *
 *   importance_i (x_i - v_i)^2 + price * bits(v_i | v_0 .. v_i-1)
 *
 * small. The choice is greedy: its effect on the contexts of later elements is not considered. `x`
 * and `importance` have one number for each element of a tensor of dimensions `dims`; `x` is in
 * units of the quantizer's step, and `price` is the distortion that one bit may cost.
 */
export function chooseByRate(
  x: Float32Array,
  importance: ArrayLike<number>,
  price: number,
  dims: readonly number[],
): Chosen {
  const shape = shapeOf(dims);
  const values = Int32Array.from(x, Math.round);
  const lag = findLag(values, shape, dims[dims.length - 1] ?? 1);
  const coder = new Chooser(x, importance, price);
  codeByContext(coder, values, shape, { ...usual, lag });
  let distortion = 0;
  for (let i = 0; i < x.length; i++) distortion += importance[i] * (x[i] - values[i]) ** 2;
  return { values, bits: coder.bits, distortion };
}

/** -log2(p / 65536) by p >> 4, at the middle of the 16 values of p. */
const costs = Float64Array.from({ length: 4096 }, (_, i) => -log((i + 0.5) / 4096) / log(2));

/** Magnitudes with an estimated cost of their own; larger ones share the last estimate. */
const MAGNITUDES = 64;
/** Weight of the newest observation in the running mean of a magnitude's cost. */
const NEWEST = 1 / 16;

/**
 * A coder that answers the context model's decisions as a decoder would, and thereby chooses
 * the integer: first whether the element is 0, and if not, which bits it has. It relies on
 * the usual options.
 *
 * The cost of a 0 is known exactly when the first decision comes. The cost of sign and magnitude is
 * estimated by a running mean of what this magnitude took before.
 */
class Chooser implements BitCoder {
  bits = 0;
  readonly #x: Float32Array;
  readonly #importance: ArrayLike<number>;
  readonly #price: number;
  readonly #costs = Float64Array.from(
    { length: MAGNITUDES },
    (_, m) => 2 + 2 * (31 - Math.clz32(m || 1)),
  );
  /** Index of the current element. */
  #at = 0;
  /** Magnitude chosen for the current element; 0 before its first decision. */
  #magnitude = 0;
  /** Decisions coded for the current element. */
  #asked = 0;
  /** Bits of the current element without those of the first decision. */
  #spent = 0;

  constructor(x: Float32Array, importance: ArrayLike<number>, price: number) {
    this.#x = x;
    this.#importance = importance;
    this.#price = price;
  }

  code(p: number): number {
    const bit = this.#magnitude === 0 ? this.#begin(p) : this.#next();
    this.#took(bit === 0 && this.#magnitude === 0 ? 0 : 1, costs[(bit ? p : 65536 - p) >> 4]);
    return bit;
  }

  plain(_: number, count: number): number {
    const above = 2 * (31 - Math.clz32(this.#magnitude)) + 3 - this.#asked;
    const bits = (this.#magnitude >> (above - count)) & ((1 << count) - 1);
    this.#took(count, count);
    return bits;
  }

  /**
   * Chooses 0, the nearest integer or the one below it. `p` is the probability of not being 0.
   * Returns the first decision.
   */
  #begin(p: number): number {
    const x = Math.abs(this.#x[this.#at]);
    const importance = this.#importance[this.#at];
    const nearest = Math.round(x);
    let best = 0;
    let least = importance * x * x + this.#price * costs[(65536 - p) >> 4];
    for (let m = Math.max(1, nearest - 1); m <= nearest; m++) {
      const bits = costs[p >> 4] + this.#costs[Math.min(m, MAGNITUDES - 1)];
      const total = importance * (x - m) ** 2 + this.#price * bits;
      if (total < least) [best, least] = [m, total];
    }
    this.#magnitude = best;
    return best ? 1 : 0;
  }

  /**
   * The next decision: the sign, then k = floor(log2 m) in unary, then the k bits of m below the
   * first.
   */
  #next(): number {
    const m = this.#magnitude;
    const k = 31 - Math.clz32(m);
    const asked = this.#asked;
    if (asked === 1) return this.#x[this.#at] < 0 ? 1 : 0;
    if (asked <= 2 + k) return asked < 2 + k ? 1 : 0;
    return (m >> (2 * k + 2 - asked)) & 1;
  }

  /**
   * Counts decisions and their bits. The first decision does not count towards the cost of a
   * magnitude, because it is known exactly.
   */
  #took(questions: number, bits: number): void {
    this.bits += bits;
    if (this.#asked > 0) this.#spent += bits;
    this.#asked += questions;
    const last = this.#magnitude > 0 ? 3 + 2 * (31 - Math.clz32(this.#magnitude)) : 0;
    if (this.#asked === last) this.#end();
  }

  /** Updates the magnitude's estimated cost and moves on to the next element. */
  #end(): void {
    if (this.#magnitude > 0) {
      const m = Math.min(this.#magnitude, MAGNITUDES - 1);
      this.#costs[m] += NEWEST * (this.#spent - this.#costs[m]);
    }
    this.#at++;
    [this.#magnitude, this.#asked, this.#spent] = [0, 0, 0];
  }
}
