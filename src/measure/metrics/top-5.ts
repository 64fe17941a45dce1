/** @file Top-5 accuracy: the share of records whose label is among the five largest scores. */
import { z } from "zod";
import { judgeScores, noBetterThan, shareOfHits } from "../judge-scores.ts";
import { taskFor } from "../task.ts";
import { defineMetric } from "./spec.ts";

export const top5 = defineMetric({
  id: "top-5",
  title: "Top-5 accuracy",
  doc: "Percent of records whose label is among the five largest class scores, with Wilson's interval. `top-5:k=3` asks for the three largest.",
  cite: "Russakovsky et al. 2015, arXiv 1409.0575",
  higherIsBetter: true,
  unit: { value: "%", drop: "points" },
  scale: { point: 1, collapse: 10 },
  needs: "labels",
  reads: { outputs: "scores [N, C]", label: "class indices [N], or one-hot" },
  options: z.object({
    k: z.int().min(1).default(5).meta({ description: "How many of the largest scores count." }),
  }),
  fits(batch, { k }) {
    const task = taskFor(["classes"], batch);
    if (typeof task === "string") return task;
    const { output, oneHot } = task;
    const classes = task.classes!;
    if (classes <= k) return `with ${classes} classes, the label is always among the first ${k}`;
    const options = { classes, oneHot, among: k, labelled: true };
    return {
      outputs: [output],
      against: "labels",
      classes: classes / k, // a guess of k classes is right in k of `classes` cases
      judge: () => judgeScores(output, options, shareOfHits),
    };
  },
  chance: (ci95, classes) => noBetterThan(100 / classes, ci95),
});
