/** @file Exponentials and powers with the same bits in every engine (Math.exp may differ). */
import { log } from "./log.ts";

const LN2 = Math.LN2;
/** ln 2 split in two, the first part with few enough bits that k times it is exact. */
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** 1 / (n + 1) */
const RECIPROCALS = Float64Array.from({ length: 13 }, (_, n) => 1 / (n + 1));

/**
 * e^x. With k = round(x / ln 2) and r = x - k ln 2, e^x = 2^k e^r; the Taylor series of e^r to degree
 * 13 is exact to rounding for |r| <= ln 2 / 2.
 */
export function exp(x: number): number {
  if (Number.isNaN(x)) return Number.NaN;
  if (x > 709.78) return Infinity;
  if (x < -745.13) return 0;
  const k = Math.round(x / LN2);
  const r = x - k * LN2_HIGH - k * LN2_LOW;
  let sum = 1;
  for (let n = 12; n >= 0; n--) sum = 1 + r * sum * RECIPROCALS[n];
  const half = Math.trunc(k / 2);
  return sum * 2 ** half * 2 ** (k - half);
}

/** x^p for x >= 0. */
export function power(x: number, p: number): number {
  if (x === 0) return p === 0 ? 1 : 0;
  return exp(p * log(x));
}

/** 1 / (1 + e^-x). */
export const sigmoid = (x: number): number => 1 / (1 + exp(-x));
