/** @file Similarity of two tensors: signal-to-quantization-noise ratio and cosine. */
import { log } from "./log.ts";

/**
 * Signal-to-quantization-noise ratio 10 log10(sum x^2 / sum (x - y)^2) in dB, with x the reference
 * and y the values; Infinity where they are equal.
 */
export function sqnr(reference: ArrayLike<number>, values: ArrayLike<number>): number {
  let signal = 0;
  let noise = 0;
  for (let i = 0; i < reference.length; i++) {
    const gap = reference[i] - values[i];
    signal += reference[i] * reference[i];
    noise += gap * gap;
  }
  if (noise === 0) return Number.POSITIVE_INFINITY;
  return (10 / Math.LN10) * (log(signal) - log(noise));
}

/** Cosine similarity; 1 for two zero vectors, 0 where only one of them is zero. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let product = 0;
  let squareA = 0;
  let squareB = 0;
  for (let i = 0; i < a.length; i++) {
    product += a[i] * b[i];
    squareA += a[i] * a[i];
    squareB += b[i] * b[i];
  }
  if (squareA === 0 || squareB === 0) return squareA === squareB ? 1 : 0;
  return product / (Math.sqrt(squareA) * Math.sqrt(squareB));
}
