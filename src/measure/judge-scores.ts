/** @file Rows of class scores, counted against labels and against the original's rows. */
import { errors, fail } from "../errors.ts";
import { argmax } from "../numeric/argmax.ts";
import { type Interval, pairedInterval, wilson } from "../numeric/statistics.ts";
import { ignoreIndex } from "../util/ignore-index.ts";
import type { Item, Judge, Numbers, Verdict } from "./metrics/spec.ts";
import { divergence, isDistribution, logProbabilities } from "./scores.ts";

type Label = ArrayLike<number>;

/** What is counted over all rows. */
export interface ScoreCounts {
  /** Predictions that are right, and that have a label. */
  readonly hits: number;
  readonly labelled: number;
  /** Right by the original only, and by this model only. */
  readonly lost: number;
  readonly gained: number;
  readonly compared: number;
  /**
   * Sums per record of the negative log-likelihood, this model's and the original's, and the number
   * of its predictions: tokens of one sequence are not independent, records are.
   */
  readonly nll: readonly number[];
  readonly originals: readonly number[];
  readonly tokens: readonly number[];
  /** What verdicts of all metrics have in common. */
  readonly common: Pick<Verdict, "flips" | "kl" | "predictions" | "records" | "broken" | "only">;
}

export interface ScoreOptions {
  readonly classes: number;
  /** Whether a label has a column per class, with a single 1 in each row. */
  readonly oneHot?: boolean;
  /** A prediction is right if its label is among this many largest scores (default 1). */
  readonly among?: number;
  /** Whether `nll` is wanted: it is work of its own. */
  readonly likelihood?: boolean;
}

/**
 * Counts rows of `classes` scores. Flips and KL(original || output) are means over the predictions
 * for which the original's row is given. Throws TersorError "label-out-of-range".
 */
export function countScores({
  classes,
  oneHot = false,
  among = 1,
  likelihood = false,
}: ScoreOptions) {
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
  const nll: number[] = [];
  const originals: number[] = [];
  const tokens: number[] = [];
  const logP = new Float64Array(classes);
  const logQ = new Float64Array(classes);

  /** Counts one prediction and returns the nll of its label, and the original's (0: not wanted). */
  function predict(
    scores: Numbers,
    label: number | null,
    original: Numbers | null,
  ): [number, number] {
    predictions++;
    const best = argmax(scores);
    answers.add(best);
    if (best < 0) broken++;
    if (label !== null) labelled++;
    const isRight = label !== null && isAmong(scores, label, best, among);
    if (isRight) hits++;
    if (!original && !likelihood) return [0, 0];
    const distribution = isDistribution(original ?? scores);
    logProbabilities(scores, distribution, logQ);
    if (original) {
      compared++;
      const first = argmax(original);
      answersOfOriginal.add(first);
      if (first !== best) flips++;
      const wasRight = label !== null && isAmong(original, label, first, among);
      if (wasRight && !isRight) lost++;
      if (!wasRight && isRight) gained++;
      divergences += divergence(logProbabilities(original, distribution, logP), logQ);
    }
    return label === null ? [0, 0] : [-logQ[label], original ? -logP[label] : 0];
  }

  return {
    /** Adds the rows of one record. Returns whether one of them is NaN or infinite. */
    add(output: Numbers, label: Label | null, original: Numbers | null, where: string): boolean {
      let [sum, sumOfOriginal, count] = [0, 0, 0];
      const before = broken;
      for (let i = 0; i < output.length / classes; i++) {
        const index = label && (oneHot ? argmax(label) : label[i]);
        if (index === ignoreIndex) continue;
        if (index !== null && !(index >= 0 && index < classes && Number.isInteger(index))) {
          throw fail(errors.labelOutOfRange(where, index, classes));
        }
        const row = (scores: Numbers) => scores.subarray(i * classes, (i + 1) * classes);
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
    counts(): ScoreCounts {
      const [answer] = answers;
      const common = {
        flips: compared ? (100 * flips) / compared : null,
        kl: compared && broken === 0 ? divergences / compared : null,
        predictions,
        records: tokens.filter((count) => count > 0).length,
        broken,
        ...(answers.size === 1 && answersOfOriginal.size > 1 ? { only: `class ${answer}` } : {}),
      };
      return { hits, labelled, lost, gained, compared, nll, originals, tokens, common };
    },
  };
}

/** Whether the label is among the `count` largest scores; of equal scores the first are larger. */
function isAmong(scores: Numbers, label: number, best: number, count: number): boolean {
  if (count === 1 || best < 0) return best === label;
  let above = 0;
  for (let i = 0; i < scores.length; i++) {
    if (scores[i] > scores[label] || (scores[i] === scores[label] && i < label)) above++;
  }
  return above < count;
}

/** A judge of one output by its label: rows of class scores. */
export function judgeScores(
  output: string,
  options: ScoreOptions & { readonly labelled: boolean },
  verdict: (counts: ScoreCounts) => Verdict,
): Judge {
  const scores = countScores(options);
  return {
    add({ outputs, label, original, where }: Item) {
      const expected = options.labelled ? (label?.values ?? null) : null;
      return scores.add(
        outputs[output].values,
        expected,
        original?.[output]?.values ?? null,
        where,
      );
    },
    finish: () => verdict(scores.counts()),
  };
}

/**
 * Judges one score per record, by turning it into a row of two classes: [1 - p, p] for a
 * probability p, or the logits [0, s] for a score s.
 */
export function judgeBinary(output: string, verdict: (counts: ScoreCounts) => Verdict): Judge {
  const records: { score: number; label: number; original: number | null; where: string }[] = [];
  return {
    add({ outputs, label, original, where }) {
      const [score] = outputs[output].values;
      records.push({
        score,
        label: label!.values[0],
        original: original?.[output]?.values[0] ?? null,
        where,
      });
      return !(score < Infinity);
    },
    finish() {
      // A single value may be a probability or a logit. If all of them are within [0, 1], they are
      // taken as probabilities.
      const probabilities = records.every(({ score, original }) => {
        const value = original ?? score;
        return value >= 0 && value <= 1;
      });
      const row = (s: number) => Float64Array.of(probabilities ? 1 - s : 0, s);
      const scores = countScores({ classes: 2 });
      for (const { score, label, original, where } of records) {
        scores.add(row(score), [label], original === null ? null : row(original), where);
      }
      return verdict(scores.counts());
    },
  };
}

/** Judges outputs that are the class itself. */
export function judgeAnswers(output: string, verdict: (counts: ScoreCounts) => Verdict): Judge {
  let [predictions, labelled, hits, compared, flips, lost, gained] = [0, 0, 0, 0, 0, 0, 0];
  return {
    add({ outputs, label, original }) {
      const [answer] = outputs[output].values;
      const expected = label?.values[0];
      if (expected === ignoreIndex) return false;
      const isHit = answer === expected;
      predictions++;
      if (label) labelled++;
      if (isHit) hits++;
      if (!original) return false;
      compared++;
      const [before] = original[output].values;
      if (before !== answer) flips++;
      if (label && before === expected && !isHit) lost++;
      if (label && before !== expected && isHit) gained++;
      return false;
    },
    finish() {
      const share = compared > 0 ? (100 * flips) / compared : null;
      const common = { flips: share, kl: null, predictions, records: predictions, broken: 0 };
      const sums = { nll: [], originals: [], tokens: [] };
      return verdict({ hits, labelled, lost, gained, compared, ...sums, common });
    },
  };
}

/** Percent of right predictions, with Wilson's interval and that of paired proportions. */
export function shareOfHits(counts: ScoreCounts): Verdict {
  const { hits, labelled, lost, gained, compared, common } = counts;
  const percent = ([low, high]: Interval): Interval => [100 * low, 100 * high];
  const isPaired = compared > 0 && compared === labelled;
  return {
    value: (100 * hits) / labelled,
    ci95: percent(wilson(hits, labelled)),
    dropCi95: isPaired ? percent(pairedInterval(lost, gained, compared)) : null,
    ...common,
  };
}

/** The `chance` of a share of right predictions of which guessing gets `chance` percent. */
export function noBetterThan(chance: number, [low, high]: Interval): string | null {
  return low > chance || high >= (chance + 100) / 2 ? null : `${chance.toFixed(2)} %`;
}
