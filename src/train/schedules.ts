/** @file Learning-rate schedules: the factor of the base rate at each step. */

export interface ScheduleOptions {
  readonly warmup: number;
  /** For "step": the factor of each drop, and how many drops divide the run evenly. */
  readonly drop: number;
  readonly drops: number;
}

/** From the progress in [0, 1) to the factor of the learning rate. */
type Shape = (progress: number, options: ScheduleOptions) => number;

/**
 * Share of the run in which one-cycle raises the rate; then it falls like a cosine (Smith, Topin
 * 2018, arXiv 1708.07120).
 */
const rise = 0.3;

/** All schedules, by the value of the option. */
export const schedules = {
  constant: () => 1,
  /** 0.5 (1 + cos(pi t)) (Loshchilov & Hutter 2017, arXiv 1608.03983). */
  cosine: (t) => 0.5 * (1 + Math.cos(Math.PI * t)),
  linear: (t) => 1 - t,
  // The addend makes up for the rounding of t, which would move a drop by a step.
  step: (t, { drop, drops }) => drop ** Math.floor(t * (drops + 1) + 1e-9),
  "one-cycle": (t) =>
    t < rise
      ? 0.04 + (0.96 * (1 - Math.cos((Math.PI * t) / rise))) / 2
      : 0.5 * (1 + Math.cos((Math.PI * (t - rise)) / (1 - rise))),
} as const satisfies Record<string, Shape>;

export type ScheduleId = keyof typeof schedules;

/**
 * The factor at `step` of `total` steps: linear warm-up, then the schedule over the remaining
 * steps.
 */
export function rateFactor(
  id: ScheduleId,
  step: number,
  total: number,
  options: ScheduleOptions,
): number {
  const { warmup } = options;
  if (step < warmup) return (step + 1) / (warmup + 1);
  return schedules[id]((step - warmup) / Math.max(1, total - warmup), options);
}
