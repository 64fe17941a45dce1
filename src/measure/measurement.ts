/** @file Result: all that is measured of one version of a model, which is a row of every report. */

/** File sizes in bytes. */
export interface Bytes {
  /** The ONNX file with its external data. */
  readonly raw: number;
  /** That compressed by gzip and by brotli, as a web server would send it. */
  readonly gzip: number | null;
  readonly brotli: number | null;
  /** The .tersor file. */
  readonly packed: number | null;
}

/** Milliseconds per run, timed in rounds that alternate with the model it is compared with. */
export interface Latency {
  readonly median: number;
  /** 90th percentile. */
  readonly p90: number;
  /** Median of the process CPU time; null where the platform has no such clock. */
  readonly cpu: number | null;
  /** The engine: "node" or "web". */
  readonly runtime: string;
  /** Engine threads. */
  readonly threads: number;
  /** Records in one run. */
  readonly batch: number;
  /** Number of timed runs. */
  readonly n: number;
}

/**
 * The milliseconds to compare models by. With one engine thread this is process CPU time, because
 * other work on the machine lengthens wall time. With several threads, whose CPU times add up, and
 * where there is no such clock, it is wall time.
 */
export function timeOf({ median, cpu, threads }: Latency): number {
  return threads === 1 && cpu !== null ? cpu : median;
}

/**
 * How good the outputs are, by labels where there are any, and how far they are from the
 * original's.
 */
export interface Metric {
  /**
   * "accuracy" (percent), "perplexity", for targets "psnr" (pictures) or "snr" (others), dB, and
   * without labels "fidelity", the SQNR in dB.
   */
  readonly name: string;
  readonly value: number;
  /** The original's value. */
  readonly baseline: number | null;
  /**
   * How much worse the value is than the baseline (positive is worse): baseline - value, for
   * perplexity value - baseline. Percent points for an accuracy. Null where the baseline is
   * infinite: the targets are the original's own outputs.
   */
  readonly drop: number | null;
  /** 95 % interval of `value`. */
  readonly ci95: readonly [number, number] | null;
  /** Percent of predictions that differ from the original's. */
  readonly flips: number | null;
  /** Mean KL(original || compressed) of the predicted distributions, nats per prediction. */
  readonly kl: number | null;
  /**
   * Signal-to-quantization-noise ratio, dB, the original's output being the signal: of the judged
   * output, without labels of the worst output. Infinity (null in JSON) where they are equal.
   */
  readonly sqnr: number | null;
  /** Whether these outputs equal the original's for every record; null if it was not compared. */
  readonly exact: boolean | null;
  /** With a perplexity: next-token accuracy, percent. */
  readonly accuracy?: number;
  /** Records evaluated. */
  readonly n: number;
}

/** Good, fair, poor, not measured. */
export type Mark = "o" | "△" | "x" | "?";

/** The four marks of a result. */
export interface Marks {
  readonly size: Mark;
  readonly speed: Mark;
  readonly ease: Mark;
  readonly performance: Mark;
}

/** A node that a method left unchanged, and why. */
export interface Skip {
  readonly node: string;
  readonly method: string;
  readonly reason: string;
}

/**
 * A group of coupled channels, heads or neurons (which can only be removed together): how many
 * there were before a method, how many are left after it, and why.
 */
export interface GroupChange {
  readonly method: string;
  /** The first layer that produces these channels. */
  readonly node: string;
  readonly before: number;
  readonly after: number;
  readonly reason: string;
}

/** One row: a recipe applied to a model and measured. Fields that were not measured are null. */
export interface Result {
  readonly recipe: string;
  /** Survey family of the recipe's main method; "control" for a recipe that is only a control. */
  readonly family: string;
  /** Path of the file that the model is or will be written to. */
  readonly file: string | null;
  readonly bytes: Bytes;
  /** Number of parameters; compressed weights count with the elements that they decode to. */
  readonly params: number;
  /** Number of parameters that are not zero. */
  readonly nonzeros: number;
  /** Multiply-accumulate operations of one run. */
  readonly macs: number | null;
  readonly latency: Latency | null;
  readonly metric: Metric | null;
  /** Compression rates alpha = original / compressed. */
  readonly alpha: {
    /** Of the parameters that are not zero. */
    readonly params: number;
    readonly bytes: number;
    readonly brotli: number | null;
  };
  /**
   * Space saved: as the survey defines it, (a - a*) / a*, and as a share of the bytes, 1 - 1/alpha.
   */
  readonly beta: { readonly survey: number; readonly saved: number };
  /** Speed-ups of inference (median of ratios over rounds) and of training. */
  readonly delta: { readonly infer: number | null; readonly train: number | null };
  /** What the recipe took. */
  readonly ease: {
    /** The kind of records that it used. */
    readonly data: "none" | "unlabelled" | "labelled";
    readonly training: boolean;
    /** Wall time of its steps. */
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
