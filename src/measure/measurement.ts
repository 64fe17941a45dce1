/** @file Measurement: what is known of one model, and Result: a row of every report (DESIGN 4). */

export interface Bytes {
  readonly raw: number;
  readonly gzip: number | null;
  readonly brotli: number | null;
  readonly packed: number | null;
}

/** Milliseconds per run; `n` timed runs, interleaved with the model it is compared with. */
export interface Latency {
  readonly median: number;
  readonly p90: number;
  /** Process-CPU milliseconds per run, null where the platform cannot tell. */
  readonly cpu: number | null;
  readonly runtime: string;
  readonly threads: number;
  readonly batch: number;
  readonly n: number;
}

/**
 * The milliseconds to compare by: process-CPU time with one thread, for other work on the machine
 * stretches wall time, often by half; wall time with several threads or where there is no such clock.
 */
export function timeOf({ median, cpu, threads }: Latency): number {
  return threads === 1 && cpu !== null ? cpu : median;
}

/** Accuracies, drops and flips in percent points; kl in nats per prediction. */
export interface Metric {
  /** "accuracy" (percent), "perplexity", "psnr" (dB), "fidelity" (no labels: SQNR, dB). */
  readonly name: string;
  readonly value: number;
  readonly baseline: number | null;
  /** baseline - value for "higher is better", value - baseline for perplexity: positive is worse. */
  readonly drop: number | null;
  /** 95 % interval of `value`. */
  readonly ci95: readonly [number, number] | null;
  /** Percent of predictions that differ from the original's. */
  readonly flips: number | null;
  /** Mean KL(original || compressed) of the predicted distributions. */
  readonly kl: number | null;
  /** Signal to quantization noise of the outputs against the original's, dB. */
  readonly sqnr: number | null;
  /** Next-token accuracy beside a perplexity. */
  readonly accuracy?: number;
  /** Records evaluated. */
  readonly n: number;
}

export type Mark = "o" | "△" | "x" | "?";

export interface Marks {
  readonly size: Mark;
  readonly speed: Mark;
  readonly ease: Mark;
  readonly performance: Mark;
}

export interface Skip {
  readonly node: string;
  readonly method: string;
  readonly reason: string;
}

/** Channels, heads or neurons that only go together: how many there were, how many are left, and why. */
export interface GroupChange {
  readonly method: string;
  /** The first layer that makes them. */
  readonly node: string;
  readonly before: number;
  readonly after: number;
  readonly reason: string;
}

/** One row: a recipe applied to a model, measured. What was not measured is null. */
export interface Result {
  readonly recipe: string;
  /** Survey family of the recipe's main method; "control" for the controls. */
  readonly family: string;
  readonly file: string | null;
  readonly bytes: Bytes;
  readonly params: number;
  readonly nonzeros: number;
  readonly macs: number | null;
  readonly latency: Latency | null;
  readonly metric: Metric | null;
  /** Compression rates alpha = original / compressed. */
  readonly alpha: {
    readonly params: number;
    readonly bytes: number;
    readonly brotli: number | null;
  };
  /** Space saving: the survey's (a - a*) / a*, and bytes saved 1 - 1/alpha. */
  readonly beta: { readonly survey: number; readonly saved: number };
  /** Speed-ups: inference (ratio of medians), training per epoch. */
  readonly delta: { readonly infer: number | null; readonly train: number | null };
  readonly ease: {
    readonly data: "none" | "unlabelled" | "labelled";
    readonly training: boolean;
    readonly seconds: number;
    /** Share of weight bytes that the recipe changed, 0..1. */
    readonly covered: number;
  };
  readonly marks: Marks;
  readonly skipped: readonly Skip[];
  readonly warnings: readonly string[];
  readonly seed: number;
  readonly versions: Readonly<Record<string, string>>;
}
