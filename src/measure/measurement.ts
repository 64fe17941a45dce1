/** @file Result: all that is measured of one version of a model, which is a row of every report. */
import type { Interval } from "../numeric/statistics.ts";
import type { ClockKind } from "./clock.ts";

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

/**
 * Milliseconds of single runs by one clock. The original's are as they were measured. Those of every
 * other version are the original's divided by its speed-up, which was measured in rounds that
 * alternate with the original: times of different rounds are not compared.
 */
export interface Latency {
  readonly median: number;
  /** 90th percentile; null where the clock counts in steps too large for single runs. */
  readonly p90: number | null;
  /** "cpu": CPU time of the process; "wall": time that passed. See `clocksFor`. */
  readonly clock: ClockKind;
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
 * How good the outputs are, by labels where there are any, and how far they are from the
 * original's.
 */
export interface Metric {
  /** The id of a metric of the table (metrics/index.ts), or the name of a user's own. */
  readonly name: string;
  readonly value: number;
  /** The original's value. */
  readonly baseline: number | null;
  /**
   * How much worse the value is than the baseline (positive is worse): baseline - value, or value -
   * baseline where lower is better. Percent points for percentages. Null where the baseline is
   * infinite: the targets are the original's own outputs.
   */
  readonly drop: number | null;
  /** 95 % interval of `value`. */
  readonly ci95: Interval | null;
  /**
   * 95 % interval of `drop`, from records that both models were judged on; null where not all were.
   */
  readonly dropCi95: Interval | null;
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
  /** What the value means for these records, where it has words: "1 of 20 boxes lost, 0 new". */
  readonly words?: string;
  /** By what it was judged. */
  readonly against?: "labels" | "original";
  /** How the figures are read; where it is missing, the table says so by the name. */
  readonly about?: About;
  /** Records evaluated. */
  readonly n: number;
  /** How many records there were for what, where that is known. */
  readonly records?: Records;
}

/** How the figures of a metric are read and printed. */
export interface About {
  readonly higherIsBetter: boolean;
  /** Units of the value and of a drop, "" for none. */
  readonly unit: string;
  readonly dropUnit: string;
  /** Decimals of printed values and drops. */
  readonly digits: number;
  /** The drop that counts like one point of accuracy; the limits of marks are in points. */
  readonly point: number;
}

/** How many records judge, and how many are for other work. */
export interface Records {
  /** Records that the metric is measured on; null without data. */
  readonly judged: number | null;
  /** Records for calibration, whether a method uses them or not. */
  readonly calibration: number | null;
  /** Records to train on, of which those for calibration are a part; null if no recipe trains. */
  readonly training: number | null;
  /**
   * Where the records that do not judge come from: held back from the data, from other data, or
   * from the files of those that judge. Null where all records judge.
   */
  readonly from: "held" | "apart" | "same" | null;
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

/**
 * Speed-ups delta = s / s*, s the time of a model that was timed in the same rounds: above 1 is
 * faster. Each is the median of the ratios within rounds; `ci95` holds their 95 % intervals.
 */
export interface Delta {
  /** Of inference, over the original. */
  readonly infer: number | null;
  /**
   * Of inference, over the losslessly simplified original: what the recipe itself gained. Null where
   * the recipe did not start from that, or consists of nothing else.
   */
  readonly recipe: number | null;
  /**
   * Of a training step (forward pass, loss, gradient, update) of the model as the recipe trains it
   * last, over one of the simplified original on the same batch. An epoch has the same steps in both,
   * so this is also the speed-up of an epoch. Null where the recipe does not train.
   */
  readonly train: number | null;
  readonly ci95: {
    readonly infer: Interval | null;
    readonly recipe: Interval | null;
    readonly train: Interval | null;
  };
}

/** Speed-ups of a row that nothing was timed of. */
export const untimed: Delta = {
  infer: null,
  recipe: null,
  train: null,
  ci95: { infer: null, recipe: null, train: null },
};

/** One row: a recipe applied to a model and measured. Fields that were not measured are null. */
export interface Result {
  readonly recipe: string;
  /** Survey family of the recipe's main method; "control" for a recipe that is only a control. */
  readonly family: string;
  /** Path of the file that the model is or will be written to. */
  readonly file: string | null;
  readonly bytes: Bytes;
  /**
   * a, the number of parameters: numbers that the file stores for the layers. A compressed weight
   * counts with the parts of its form, see `countParams`.
   */
  readonly params: number;
  /** Those that are not zero. */
  readonly nonzeros: number;
  /** Multiply-accumulate operations of one run. */
  readonly macs: number | null;
  readonly latency: Latency | null;
  readonly metric: Metric | null;
  /** Compression rates alpha = a / a*, original / compressed (arXiv 1710.09282, section VII). */
  readonly alpha: {
    /** a: `params`. */
    readonly params: number;
    /** a: bytes of the file. */
    readonly bytes: number;
    /** a: bytes of the file after brotli. */
    readonly brotli: number | null;
  };
  /** Space saved. */
  readonly beta: {
    /** As the survey prints it: (a - a*) / a*, a: `params`. */
    readonly survey: number;
    /** The share of the file's bytes that is gone: 1 - 1 / alpha, a: bytes. */
    readonly saved: number;
  };
  readonly delta: Delta;
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
