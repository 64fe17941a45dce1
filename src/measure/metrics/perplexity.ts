/** @file Perplexity: exp of the mean negative log-likelihood of the labelled tokens. */
import { type Interval, ratioOfSums } from "../../numeric/statistics.ts";
import { judgeScores, type ScoreCounts } from "../judge-scores.ts";
import { taskFor } from "../task.ts";
import { defineMetric, type Verdict } from "./spec.ts";

export const perplexity = defineMetric({
  id: "perplexity",
  title: "Perplexity",
  doc: "exp of the mean negative log-likelihood of the tokens, with an interval over records: tokens of one sequence are not independent. `accuracy` beside it is the percent of next tokens that are right.",
  cite: "Jelinek et al. 1977; intervals Cochran 1977, eq. 6.13",
  higherIsBetter: false,
  unit: { value: "", drop: "" },
  scale: { point: 1, collapse: Number.POSITIVE_INFINITY, relative: { point: 10, collapse: 50 } },
  needs: "labels",
  reads: { outputs: "scores [N, T, V]", label: "tokens [N, T], -100 for padding" },
  fits(batch) {
    const task = taskFor(["tokens"], batch);
    if (typeof task === "string") return task;
    const { output, oneHot } = task;
    const classes = task.classes!;
    return {
      outputs: [output],
      against: "labels",
      classes,
      judge: () =>
        judgeScores(output, { classes, oneHot, likelihood: true, labelled: true }, verdictOf),
    };
  },
  isGuessed: () => true,
  chance: ([, high], classes) => (high >= classes ? String(classes) : null),
});

function verdictOf(counts: ScoreCounts): Verdict {
  const { hits, labelled, compared, nll, originals, tokens, common } = counts;
  const { value, ci95 } = ratioOfSums(nll, tokens);
  const isPaired = compared > 0 && compared === labelled;
  return {
    value: Math.exp(value),
    ci95: ci95 && [Math.exp(ci95[0]), Math.exp(ci95[1])],
    dropCi95: isPaired ? dropInterval(nll, originals, tokens) : null,
    accuracy: (100 * hits) / labelled,
    ...common,
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
function dropInterval(
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
