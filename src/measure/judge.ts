/** @file One judge per task: records go in one by one, the metric and its interval come out. */
import { errors, fail } from "../errors.ts";
import { type Interval, ratioOfSums, wilson } from "../numeric/statistics.ts";
import { argmax, divergence, isDistribution, logProbabilities } from "./scores.ts";
import type { Task } from "./task.ts";

type Row = Float32Array | Float64Array;
type Label = ArrayLike<number>;

export interface Verdict {
  readonly name: string;
  readonly value: number;
  readonly ci95: Interval | null;
  readonly flips: number | null;
  readonly kl: number | null;
  readonly accuracy?: number;
  /** Predictions made, and how many of them were NaN or infinite. */
  readonly predictions: number;
  readonly broken: number;
}

export interface Judge {
  /** A record's judged output, its label, the original's output for it, and its name for errors. */
  add(output: Row, label: Label | null, original: Row | null, where: string): void;
  finish(): Verdict;
}

/** The value is the signal-to-noise ratio, which measureMetric takes over all tasks alike. */
const fidelity = { name: "fidelity", value: Number.NaN, ci95: null } as const;

export function judgeOf({ kind, classes, oneHot }: Task): Judge {
  switch (kind) {
    case "target":
      return judgeTarget();
    case "binary":
      return judgeBinary();
    case "none":
      return classes === null ? judgeNothing() : judgeScores(classes, "fidelity", false);
    case "tokens":
      return judgeScores(classes!, "perplexity", false);
    case "classes":
      return judgeScores(classes!, "accuracy", oneHot);
  }
}

/** Accuracy with Wilson's interval, or perplexity exp(mean nll) with an interval over sequences. */
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
  const nll: number[] = []; // per record, with its count: tokens of one sequence are not independent
  const tokens: number[] = [];
  const logP = new Float64Array(classes);
  const logQ = new Float64Array(classes);

  /** Returns the negative log-likelihood of the label, 0 where nobody asks for it. */
  function predict(scores: Row, label: number | null, original: Row | null): number {
    predictions++;
    const best = argmax(scores);
    if (best < 0) broken++;
    if (label !== null) labelled++;
    if (best === label) hits++;
    if (!original && name !== "perplexity") return 0;
    const distribution = isDistribution(original ?? scores);
    logProbabilities(scores, distribution, logQ);
    if (original) {
      compared++;
      if (argmax(original) !== best) flips++;
      divergences += divergence(logProbabilities(original, distribution, logP), logQ);
    }
    return label === null ? 0 : -logQ[label];
  }

  return {
    add(output, label, original, where) {
      let sum = 0;
      let count = 0;
      for (let i = 0; i < output.length / classes; i++) {
        const index = label && (oneHot ? argmax(label) : label[i]);
        // -100 and the like mark padding in token labels.
        if (name === "perplexity" && index !== null && index < 0) continue;
        if (index !== null && !(index >= 0 && index < classes && Number.isInteger(index))) {
          throw fail(errors.labelOutOfRange(where, index, classes));
        }
        const row = (scores: Row) => scores.subarray(i * classes, (i + 1) * classes);
        sum += predict(row(output), index, original && row(original));
        count++;
      }
      nll.push(sum);
      tokens.push(count);
    },
    finish() {
      const common = {
        flips: compared ? (100 * flips) / compared : null,
        kl: compared && broken === 0 ? divergences / compared : null,
        predictions,
        broken,
      };
      const accuracy = (100 * hits) / labelled;
      if (name === "perplexity") {
        const { value, ci95 } = ratioOfSums(nll, tokens);
        const interval: Interval | null = ci95 && [Math.exp(ci95[0]), Math.exp(ci95[1])];
        return { name, value: Math.exp(value), ci95: interval, accuracy, ...common };
      }
      if (name === "fidelity") return { ...fidelity, ...common };
      const [low, high] = wilson(hits, labelled);
      return { name, value: accuracy, ci95: [100 * low, 100 * high], ...common };
    },
  };
}

/** One score per record as the two-class row it stands for: [1 - p, p], or the logits [0, s]. */
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
    },
    finish() {
      // One value cannot tell a probability from a logit, all of them together can.
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

/** Peak signal-to-noise ratio 10 log10(peak^2 / mse), mean over records; peak 1 or 255 by the labels. */
function judgeTarget(): Judge {
  const errorsOfRecords: number[] = [];
  let largest = 0;
  let broken = 0;
  return {
    add(output, label) {
      let sum = 0;
      for (let i = 0; i < output.length; i++) {
        sum += (output[i] - label![i]) ** 2;
        if (label![i] > largest) largest = label![i];
      }
      if (!Number.isFinite(sum)) broken++;
      errorsOfRecords.push(sum / output.length);
    },
    finish() {
      const peak = largest > 1 ? 255 : 1;
      const psnr = errorsOfRecords.map((mse) => 10 * Math.log10(peak ** 2 / mse));
      const { value, ci95 } = ratioOfSums(psnr, new Float64Array(psnr.length).fill(1));
      const predictions = psnr.length;
      return { name: "psnr", value, ci95, flips: null, kl: null, predictions, broken };
    },
  };
}

/** Neither labels nor class scores: all that is left to see is whether the numbers are numbers. */
function judgeNothing(): Judge {
  let predictions = 0;
  let broken = 0;
  return {
    add(output) {
      predictions++;
      for (let i = 0; i < output.length; i++) {
        if (!Number.isFinite(output[i])) return void broken++;
      }
    },
    finish: () => ({ ...fidelity, flips: null, kl: null, predictions, broken }),
  };
}
