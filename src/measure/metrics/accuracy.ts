/** @file Accuracy: the share of records whose largest class score is at the label. */
import {
  judgeAnswers,
  judgeBinary,
  judgeScores,
  noBetterThan,
  shareOfHits,
} from "../judge-scores.ts";
import { type Task, taskFor } from "../task.ts";
import { defineMetric, type Judge } from "./spec.ts";

function judgeOf({ kind, output, classes, oneHot }: Task): Judge {
  if (kind === "answers") return judgeAnswers(output, shareOfHits);
  if (kind === "binary") return judgeBinary(output, shareOfHits);
  return judgeScores(output, { classes: classes!, oneHot, labelled: true }, shareOfHits);
}

export const accuracy = defineMetric({
  id: "accuracy",
  title: "Accuracy",
  doc: "Percent of records whose largest class score is at the label, with Wilson's interval. A model with one score per record is judged as one of two classes: at a probability of 0.5, or at a logit of 0.",
  cite: "Wilson 1927; of drops Bonett and Price 2012",
  higherIsBetter: true,
  unit: { value: "%", drop: "points" },
  scale: { point: 1, collapse: 10 },
  countsFlips: true,
  needs: "labels",
  reads: {
    outputs: "scores [N, C], one score [N], or classes of an integer type [N]",
    label: "class indices [N], or one-hot",
  },
  fits(batch) {
    const task = taskFor(["classes", "binary", "answers"], batch);
    if (typeof task === "string") return task;
    const { output, classes } = task;
    return {
      outputs: [output],
      against: "labels",
      classes,
      judge: () => judgeOf(task),
    };
  },
  isGuessed: () => true,
  chance: (ci95, classes) => noBetterThan(100 / classes, ci95),
});
