/** @file Fidelity: without labels, how far outputs are from the original's. */
import { dtypes } from "../../ir/dtype.ts";
import { areFinite } from "../../numeric/finite.ts";
import { judgeAnswers, judgeScores, type ScoreCounts } from "../judge-scores.ts";
import { taskFor } from "../task.ts";
import { type Batch, defineMetric, type Judge, type Verdict } from "./spec.ts";

const nothing = { value: null, ci95: null, dropCi95: null } as const;

export const fidelity = defineMetric({
  id: "fidelity",
  title: "Fidelity",
  doc: "The signal-to-quantization-noise ratio of the output that is furthest from the original's, in dB: 10 log10(sum x^2 / sum (x - y)^2) with the original's output x. Where the first output is one row of numbers per record, its largest one is the prediction of which flips and KL are counted: there 5 % of flips count like a point for a rescue, and 25 % as a collapse; elsewhere a rescue looks after an SQNR below 10 dB.",
  higherIsBetter: true,
  unit: { value: "dB", drop: "dB" },
  scale: { point: 1, collapse: Number.POSITIVE_INFINITY },
  needs: "original",
  reads: { outputs: "anything", label: "none" },
  fits(batch) {
    const unlabelled = { ...batch, label: null };
    const task = taskFor(["none", "answers"], unlabelled);
    if (typeof task === "string") return task;
    const { kind, output, classes } = task;
    const counted = { classes: classes ?? 0, labelled: false };
    return {
      outputs: kind === "answers" ? [output] : comparable(output, batch),
      against: "original",
      classes,
      judge() {
        const verdict = ({ common }: ScoreCounts): Verdict => ({ ...nothing, ...common });
        if (kind === "answers") return judgeAnswers(output, verdict);
        return classes === null ? judgeNothing(output) : judgeScores(output, counted, verdict);
      },
    };
  },
  isGuessed: ({ label }) => label === null,
});

/**
 * The judged output and all others of floats. Of several records in one run those without a batch
 * as first axis are left out, because their elements are not in the order of the records.
 */
function comparable(output: string, { records, outputs }: Batch): string[] {
  const others = Object.entries(outputs).filter(
    ([name, { dtype, shape }]) =>
      name !== output &&
      dtypes[dtype].kind === "float" &&
      (records === 1 || (shape[0] ?? 1) === records),
  );
  return [output, ...others.map(([name]) => name)];
}

/** Without class scores, only counts the outputs that are NaN or infinite. */
function judgeNothing(output: string): Judge {
  let predictions = 0;
  let broken = 0;
  return {
    add({ outputs }) {
      predictions++;
      if (areFinite(outputs[output].values)) return false;
      broken++;
      return true;
    },
    finish: () => ({ ...nothing, flips: null, kl: null, predictions, broken }),
  };
}
