/** @file Grids that are fine at first and lose bits in stages, down to those that are stored. */
import type { TrainHooks } from "../context.ts";
import { scalarFeed } from "../weights/feeds.ts";
import type { Latent, StepFeed } from "../weights/latent.ts";

/** A schedule of bits: the hook by which it learns the number of steps, and what latents add. */
export interface Falling extends Required<Pick<TrainHooks, "begin">> {
  /**
   * The feed `finer` of a latent that is stored in `bits`: 2^(b - bits) with b the bits of the step,
   * by which its step size is divided. Nothing if it begins with `bits`.
   */
  feeds(bits: number): Pick<Latent, "feeds">;
}

/**
 * Bits fall from `from` to half as many, and so on: 8, 4, 2. The last of them, which are those that
 * are stored, take the second half of the steps, and the others share the first half evenly. A
 * network of few bits begins from a good one of more (Zhuang et al. 2018, arXiv 1711.00205).
 */
export function fallingBits(from: number): Falling {
  let steps = 0;
  const finer = (bits: number): StepFeed => {
    const stages = stagesOf(from, bits);
    return scalarFeed((step) => {
      // Before the number of steps is known, single steps may be timed.
      const done = steps > 0 ? Math.min(1, (2 * step) / steps) : 0;
      const own = stages[Math.floor(done * (stages.length - 1))];
      return 2 ** (own - bits);
    });
  };
  return {
    begin(count) {
      steps = count;
    },
    feeds: (bits) => (from > bits ? { feeds: { finer: finer(bits) } } : {}),
  };
}

/** The bits of each stage, the last ones at the end. */
function stagesOf(from: number, bits: number): number[] {
  const stages: number[] = [];
  for (let own = from; own > bits; own = Math.ceil(own / 2)) stages.push(own);
  return [...stages, bits];
}
