/** @file Factors of a product with like sizes, because numbers of like size learn alike. */
import { exp } from "./exp.ts";
import { log } from "./log.ts";

/**
 * The parts times factors whose product is 1, so that all have the same root mean square. Unchanged if
 * one of them is zero.
 */
export function evenSizes(parts: readonly Float64Array[]): Float64Array[] {
  const sizes = parts.map((x) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length));
  if (sizes.includes(0)) return parts.map((x) => x.slice());
  const mean = exp(sizes.reduce((sum, size) => sum + log(size), 0) / sizes.length);
  return parts.map((x, k) => x.map((v) => (v * mean) / sizes[k]));
}
