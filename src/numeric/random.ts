/** @file A portable random generator: the same seed gives the same bits in Node and in browsers. */
import { errors, fail } from "../errors.ts";
import { log } from "./log.ts";

/** Arrays and typed arrays, whose elements can be swapped. */
interface Swappable {
  readonly length: number;
  [index: number]: unknown;
}

/** A stream of pseudo-random numbers. */
export interface Random {
  /** A uniform integer in [0, 2^32). */
  uint32(): number;
  /** A uniform number in [0, 1) with 53 bits. */
  float(): number;
  /** An unbiased uniform integer in [0, n), 1 <= n <= 2^32; else TersorError "bad-number". */
  int(n: number): number;
  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<A extends Swappable>(array: A): A;
  /** A standard normal number. */
  normal(): number;
  /**
   * An independent stream, determined by this stream's seed and the label, not by the
   * numbers drawn so far.
   */
  fork(label: string): Random;
}

/** A generator from an integer seed; seeds up to 2^53 give different streams. */
export function createRandom(seed: number): Random {
  const low = seed >>> 0;
  return createStream(low, Math.floor((seed - low) / 2 ** 32) >>> 0);
}

/** sfc32 (Doty-Humphrey, PractRand), whose state is filled by splitmix32. */
function createStream(low: number, high: number): Random {
  let a = mix(low + 0x9e3779b9);
  let b = mix(high ^ a);
  let c = mix(a + b);
  let counter = 1;
  let spare: number | null = null;
  for (let i = 0; i < 15; i++) uint32();

  function uint32(): number {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  function float(): number {
    return ((uint32() >>> 5) * 2 ** 26 + (uint32() >>> 6)) / 2 ** 53;
  }

  function int(n: number): number {
    if (!(n >= 1 && n <= 2 ** 32)) {
      throw fail(errors.badNumber("random.int", `n is ${n}`, "Give a whole number from 1 to 2^32"));
    }
    // Values beyond the last whole multiple of n are drawn again: they would make small results
    // likelier.
    const limit = 2 ** 32 - (2 ** 32 % n);
    let x = uint32();
    while (x >= limit) x = uint32();
    return x % n;
  }

  function shuffle<A extends Swappable>(array: A): A {
    for (let i = array.length - 1; i > 0; i--) {
      const j = int(i + 1);
      const swap = array[i];
      array[i] = array[j];
      array[j] = swap;
    }
    return array;
  }

  /** Marsaglia's polar method: each accepted point of the unit disc gives two normal numbers. */
  function normal(): number {
    if (spare !== null) {
      const kept = spare;
      spare = null;
      return kept;
    }
    let x = 0;
    let y = 0;
    let r = 0;
    do {
      x = 2 * float() - 1;
      y = 2 * float() - 1;
      r = x * x + y * y;
    } while (r >= 1 || r === 0);
    const scale = Math.sqrt((-2 * log(r)) / r);
    spare = y * scale;
    return x * scale;
  }

  function fork(label: string): Random {
    let forkLow = mix(low + label.length);
    let forkHigh = mix(high ^ 0x85ebca6b);
    for (let i = 0; i < label.length; i++) {
      forkLow = mix(forkLow ^ label.charCodeAt(i));
      forkHigh = mix(forkHigh + forkLow);
    }
    return createStream(forkLow, forkHigh);
  }

  return { uint32, float, int, shuffle, normal, fork };
}

/** The finalizer of splitmix32: a bijection of 32-bit words. */
function mix(x: number): number {
  let z = (x + 0x9e3779b9) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
