/** @file Fidelity: how far a model's outputs are from the original's, as a signal-to-noise ratio. */

/**
 * An output whose root mean square is below this share of its peak holds no signal. Detection maps
 * of an empty picture are an example: Sigmoid computes them near 0 with an absolute error of about
 * 1e-8, which is as large as they are.
 */
const FLOOR = 1e-3;

/** Below this SQNR, in dB, the error is more than 32 % of the output (root mean squares). */
export const LOW_SQNR = 10;

/** A comparison over all records. */
export interface Fidelity {
  /** The output with the smallest SQNR. */
  readonly output: string;
  /**
   * SQNR of that output, dB. Infinity where it equals the original's, -Infinity where it is NaN or
   * infinite and the original's is not.
   */
  readonly sqnr: number;
  /** Whether all outputs have equal elements. */
  readonly exact: boolean;
}

/** Sums over the elements of one output: n, x^2 and (x - y)^2, with x the original's. */
interface Sums {
  elements: number;
  signal: number;
  noise: number;
  /** Some y is NaN or infinite where x is not. */
  broken: boolean;
  equal: boolean;
}

/**
 * Collects pairs of outputs, x of the original and y, and gives for each output
 *
 *     SQNR = 10 log10(max(sum x^2, n (FLOOR peak)^2) / sum (x - y)^2),
 *
 * `peaks` are the largest magnitudes that outputs can have, by name. Without one the floor is 0.
 * Elements that are not finite in x, such as the scores of masked classes, are not counted.
 */
export function createFidelity(peaks: Readonly<Record<string, number>>) {
  const outputs = new Map<string, Sums>();
  const sqnrOf = (output: string, { elements, signal, noise, broken }: Sums): number => {
    if (broken) return Number.NEGATIVE_INFINITY;
    const floor = elements * (FLOOR * (Object.hasOwn(peaks, output) ? peaks[output] : 0)) ** 2;
    return noise === 0 ? Infinity : 10 * Math.log10(Math.max(signal, floor) / noise);
  };
  return {
    add(output: string, x: Float32Array, y: Float32Array): void {
      const sums = outputs.get(output) ?? start();
      outputs.set(output, sums);
      for (let i = 0; i < x.length; i++) {
        const isEqual = x[i] === y[i] || Object.is(x[i], y[i]);
        if (!isEqual) sums.equal = false;
        if (!Number.isFinite(x[i])) continue;
        sums.elements++;
        sums.signal += x[i] ** 2;
        if (isEqual) continue;
        if (Number.isFinite(y[i])) sums.noise += (x[i] - y[i]) ** 2;
        else sums.broken = true;
      }
    },
    /** Null if nothing was compared. */
    result(): Fidelity | null {
      const all = [...outputs].map(([output, sums]) => ({ output, sqnr: sqnrOf(output, sums) }));
      if (all.length === 0) return null;
      const worst = all.reduce((a, b) => (b.sqnr < a.sqnr ? b : a));
      return { ...worst, exact: [...outputs.values()].every(({ equal }) => equal) };
    },
  };
}

const start = (): Sums => ({ elements: 0, signal: 0, noise: 0, broken: false, equal: true });

/** A warning for a low SQNR, which names the output; null if it is not low. */
export function lowFidelity({ output, sqnr }: Fidelity): string | null {
  if (sqnr >= LOW_SQNR) return null;
  const why =
    sqnr === Number.NEGATIVE_INFINITY
      ? "is NaN or infinite where the original is not"
      : `has ${sqnr.toFixed(1)} dB SQNR (below ${LOW_SQNR} dB its error is over 30 % of it)`;
  return `low fidelity: output ${output} ${why}`;
}
