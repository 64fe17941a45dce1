/** @file Judges: for each task, a metric with its 95 % interval from records given one by one. */
import { errors, fail } from "../errors.ts";
import { argmax } from "../numeric/argmax.ts";
import { areFinite } from "../numeric/finite.ts";
import { type Interval, pairedInterval, ratioOfSums, wilson } from "../numeric/statistics.ts";
import { ignoreIndex } from "../util/ignore-index.ts";
import { divergence, isDistribution, logProbabilities } from "./scores.ts";
import type { Task } from "./task.ts";

type Row = Float32Array | Float64Array;
type Label = ArrayLike<number>;

/** What a judge concludes from all records; the fields have the units of Metric. */
export interface Verdict {
  readonly name: string;
  readonly value: number;
  readonly ci95: Interval | null;
  /** 95 % interval of the drop; null unless all records came with the original's output. */
  readonly dropCi95: Interval | null;
  readonly flips: number | null;
  readonly kl: number | null;
  readonly accuracy?: number;
  /** Number of predictions made: one per record, or one per token. */
  readonly predictions: number;
  /** Number of records with a prediction, where some may be only padding; else all are meant. */
  readonly records?: number;
  /** How many predictions were NaN or infinite. */
  readonly broken: number;
  /** The class that all of several records were given, where the original gave others too. */
  readonly only?: number;
}

/** Collects records and gives the verdict on all of them. */
export interface Judge {
  /**
   * Adds one record: its judged output (all elements, row-major), its label, the original model's
   * output for it, and its name for errors. Returns whether a prediction in it is NaN or infinite.
   * Throws TersorError "label-out-of-range".
   */
  add(output: Row, label: Label | null, original: Row | null, where: string): boolean;
  /** The verdict over the records added so far. */
  finish(): Verdict;
}

/** A verdict without labels. Its value, the SQNR, is filled in by `measureMetric`. */
const fidelity = { name: "fidelity", value: Number.NaN, ci95: null, dropCi95: null } as const;

/** A new judge for the task. */
export function judgeOf({ kind, classes, oneHot, picture }: Task): Judge {
  switch (kind) {
    case "target":
      return judgeTarget(picture);
    case "binary":
      return judgeBinary();
    case "none":
      return classes === null ? judgeNothing() : judgeScores(classes, "fidelity", false);
    case "tokens":
      return judgeScores(classes!, "perplexity", false);
    case "answers":
      return judgeAnswers();
    case "classes":
      return judgeScores(classes!, "accuracy", oneHot);
  }
}

/**
 * Judges rows of class scores. "accuracy": share of records whose largest score is at the label,
 * with Wilson's interval. "perplexity": exp of the mean negative log-likelihood (nll) of the
 * tokens, with an interval over records. "fidelity": no labels, only flips and KL. Flips and
 * KL(original || output) are means over the predictions for which the original's row is given.
 */
function judgeScores(
  classes: number,
  name: "accuracy" | "perplexity" | "fidelity",
  oneHot: boolean,
): Judge {
  let hits = 0;
  let labelled = 0;
  let predictions = 0;
  let broken = 0;
  let compared = 0;
  let flips = 0;
  let divergences = 0;
  let lost = 0;
  let gained = 0;
  const answers = new Set<number>();
  const answersOfOriginal = new Set<number>();
  // Sums and counts per record: tokens of one sequence are not independent, records are.
  const nll: number[] = [];
  const originals: number[] = [];
  const tokens: number[] = [];
  const logP = new Float64Array(classes);
  const logQ = new Float64Array(classes);

  /**
   * Counts one prediction and returns the nll of its label, and the original's (0 where the verdict
   * does not use them).
   */
  function predict(scores: Row, label: number | null, original: Row | null): [number, number] {
    predictions++;
    const best = argmax(scores);
    answers.add(best);
    if (best < 0) broken++;
    if (label !== null) labelled++;
    if (best === label) hits++;
    if (!original && name !== "perplexity") return [0, 0];
    const distribution = isDistribution(original ?? scores);
    logProbabilities(scores, distribution, logQ);
    if (original) {
      compared++;
      const first = argmax(original);
      answersOfOriginal.add(first);
      if (first !== best) flips++;
      if (first === label && best !== label) lost++;
      if (first !== label && best === label) gained++;
      divergences += divergence(logProbabilities(original, distribution, logP), logQ);
    }
    return label === null ? [0, 0] : [-logQ[label], original ? -logP[label] : 0];
  }

  return {
    add(output, label, original, where) {
      let [sum, sumOfOriginal, count] = [0, 0, 0];
      const before = broken;
      for (let i = 0; i < output.length / classes; i++) {
        const index = label && (oneHot ? argmax(label) : label[i]);
        if (index === ignoreIndex) continue;
        if (index !== null && !(index >= 0 && index < classes && Number.isInteger(index))) {
          throw fail(errors.labelOutOfRange(where, index, classes));
        }
        const row = (scores: Row) => scores.subarray(i * classes, (i + 1) * classes);
        const [own, other] = predict(row(output), index, original && row(original));
        sum += own;
        sumOfOriginal += other;
        count++;
      }
      nll.push(sum);
      originals.push(sumOfOriginal);
      tokens.push(count);
      return broken > before;
    },
    finish() {
      const common = {
        flips: compared ? (100 * flips) / compared : null,
        kl: compared && broken === 0 ? divergences / compared : null,
        predictions,
        records: tokens.filter((count) => count > 0).length,
        broken,
        ...(answers.size === 1 && answersOfOriginal.size > 1 ? { only: [...answers][0] } : {}),
      };
      const accuracy = (100 * hits) / labelled;
      const isPaired = compared > 0 && compared === labelled;
      if (name === "perplexity") {
        const { value, ci95 } = ratioOfSums(nll, tokens);
        const interval: Interval | null = ci95 && [Math.exp(ci95[0]), Math.exp(ci95[1])];
        const dropCi95 = isPaired ? perplexityDrop(nll, originals, tokens) : null;
        return { name, value: Math.exp(value), ci95: interval, dropCi95, accuracy, ...common };
      }
      if (name === "fidelity") return { ...fidelity, ...common };
      const percent = ([low, high]: Interval): Interval => [100 * low, 100 * high];
      const dropCi95 = isPaired ? percent(pairedInterval(lost, gained, compared)) : null;
      return { name, value: accuracy, ci95: percent(wilson(hits, labelled)), dropCi95, ...common };
    },
  };
}

/**
 * The interval of exp(R) - exp(S), the perplexities of two models with R = sum nll / sum tokens and S
 * likewise, on the same sequences. To first order (delta method) it is a sum over sequences of
 *
 *   exp(R) (nll_i - R tokens_i) - exp(S) (original_i - S tokens_i)
 *
 * so that what makes a sequence hard for both models cancels out.
 */
function perplexityDrop(
  nll: readonly number[],
  originals: readonly number[],
  tokens: readonly number[],
): Interval | null {
  const [r, s] = [ratioOfSums(nll, tokens).value, ratioOfSums(originals, tokens).value];
  const parts = nll.map(
    (own, i) => Math.exp(r) * (own - r * tokens[i]) - Math.exp(s) * (originals[i] - s * tokens[i]),
  );
  const { ci95 } = ratioOfSums(parts, tokens);
  const drop = Math.exp(r) - Math.exp(s);
  return ci95 && [drop + ci95[0], drop + ci95[1]];
}

/**
 * Judges one score per record, by turning it into a row of two classes: [1 - p, p] for a
 * probability p, or the logits [0, s] for a score s.
 */
function judgeBinary(): Judge {
  const records: { score: number; label: number; original: number | null; where: string }[] = [];
  return {
    add(output, label, original, where) {
      records.push({
        score: output[0],
        label: label![0],
        original: original?.[0] ?? null,
        where,
      });
      return !(output[0] < Infinity);
    },
    finish() {
      // A single value may be a probability or a logit. If all of them are within [0, 1], they are
      // taken as probabilities.
      const probabilities = records.every(({ score, original }) => {
        const value = original ?? score;
        return value >= 0 && value <= 1;
      });
      const row = (s: number) => Float64Array.of(probabilities ? 1 - s : 0, s);
      const judge = judgeScores(2, "accuracy", false);
      for (const { score, label, original, where } of records) {
        judge.add(row(score), [label], original === null ? null : row(original), where);
      }
      return judge.finish();
    },
  };
}

/**
 * Judges outputs y of the shape of the label t, in dB. For pictures the PSNR, the mean over records
 * of 10 log10(peak^2 / mse). A picture has values in [0, 1] (peak 1), or in [0, 255] and beyond 127
 * (peak 255). Other targets, whose unit and range are not known, give the signal-to-noise ratio
 * SNR = 10 log10(sum t^2 / sum (t - y)^2) over all records.
 */
function judgeTarget(hasPictureShape: boolean): Judge {
  const signals: number[] = [];
  const noises: number[] = [];
  const originals: number[] = [];
  const sizes: number[] = [];
  let least = Number.POSITIVE_INFINITY;
  let largest = Number.NEGATIVE_INFINITY;
  let broken = 0;
  return {
    add(output, label, original) {
      let signal = 0;
      for (let i = 0; i < output.length; i++) {
        signal += label![i] ** 2;
        if (label![i] < least) least = label![i];
        if (label![i] > largest) largest = label![i];
      }
      const noise = noiseOf(output, label!);
      signals.push(signal);
      noises.push(noise);
      sizes.push(output.length);
      if (original) originals.push(noiseOf(original, label!));
      if (Number.isFinite(noise)) return false;
      broken++;
      return true;
    },
    finish() {
      const common = { flips: null, kl: null, predictions: noises.length, broken };
      const isPaired = originals.length === noises.length;
      const peak = hasPictureShape ? peakOf(least, largest) : null;
      if (peak !== null) {
        const psnr = (all: readonly number[]) =>
          all.map((noise, i) => 10 * Math.log10((peak ** 2 * sizes[i]) / noise));
        const own = psnr(noises);
        const { value, ci95 } = mean(own);
        const drops = psnr(originals).map((before, i) => before - own[i]);
        const dropCi95 = isPaired ? mean(drops).ci95 : null;
        return { name: "psnr", value, ci95, dropCi95, ...common };
      }
      const { value, ci95 } = decibels(noises, signals);
      const dropCi95 = isPaired ? decibels(noises, originals).ci95 : null;
      const snr: Interval | null = ci95 && [-ci95[1], -ci95[0]];
      return { name: "snr", value: -value, ci95: snr, dropCi95, ...common };
    },
  };
}

/** sum (t - y)^2 */
function noiseOf(output: Row, label: Label): number {
  let sum = 0;
  for (let i = 0; i < output.length; i++) sum += (output[i] - label[i]) ** 2;
  return sum;
}

const mean = (values: readonly number[]) =>
  ratioOfSums(values, new Float64Array(values.length).fill(1));

/** 10 log10 r, r = sum y / sum x, with its interval by the delta method: d log r = dr / r. */
function decibels(y: readonly number[], x: readonly number[]) {
  const { value: r, ci95 } = ratioOfSums(y, x);
  const value = 10 * Math.log10(r);
  const half = ci95 && ((10 / Math.LN10) * (ci95[1] - ci95[0])) / 2 / r;
  const interval: Interval | null = half !== null && r > 0 ? [value - half, value + half] : null;
  return { value, ci95: interval };
}

/** The peak of pictures whose smallest and largest values are given; null if they are none. */
function peakOf(least: number, largest: number): number | null {
  if (least < 0) return null;
  return largest <= 1 ? 1 : largest > 127 && largest <= 255 ? 255 : null;
}

/**
 * Judges outputs that are the class itself. "accuracy": share of records whose output is the label;
 * without labels "fidelity", only flips.
 */
function judgeAnswers(): Judge {
  let [predictions, labelled, hits, compared, flips, lost, gained] = [0, 0, 0, 0, 0, 0, 0];
  return {
    add([answer], label, original) {
      predictions++;
      const isHit = label !== null && answer === label[0];
      if (label) labelled++;
      if (isHit) hits++;
      if (!original) return false;
      compared++;
      if (original[0] !== answer) flips++;
      if (label && original[0] === label[0] && !isHit) lost++;
      if (label && original[0] !== label[0] && isHit) gained++;
      return false;
    },
    finish() {
      const share = compared ? (100 * flips) / compared : null;
      const common = { flips: share, kl: null, predictions, broken: 0 };
      if (labelled === 0) return { ...fidelity, ...common };
      const percent = ([low, high]: Interval): Interval => [100 * low, 100 * high];
      const dropCi95 =
        compared === labelled ? percent(pairedInterval(lost, gained, compared)) : null;
      const ci95 = percent(wilson(hits, labelled));
      return { name: "accuracy", value: (100 * hits) / labelled, ci95, dropCi95, ...common };
    },
  };
}

/** Without labels and class scores, only counts the outputs that are NaN or infinite. */
function judgeNothing(): Judge {
  let predictions = 0;
  let broken = 0;
  return {
    add(output) {
      predictions++;
      if (areFinite(output)) return false;
      broken++;
      return true;
    },
    finish: () => ({ ...fidelity, flips: null, kl: null, predictions, broken }),
  };
}
