/** @file Error rate: characters or words that a recognizer of text or speech gets wrong. */
import { z } from "zod";
import { dtypes } from "../../ir/dtype.ts";
import { argmax } from "../../numeric/argmax.ts";
import { ratioOfSums } from "../../numeric/statistics.ts";
import { editDistance } from "../../util/edit-distance.ts";
import { isDistribution } from "../scores.ts";
import { shapesOf } from "../task.ts";
import {
  type Batch,
  defineMetric,
  type Fit,
  type Judge,
  type Output,
  type Verdict,
} from "./spec.ts";

const recognizer = z.object({
  blank: z.int().optional().meta({
    description:
      "The class that stands for nothing; -1 is the last (default: the first or the last class, whichever is more frequent).",
  }),
  space: z
    .int()
    .min(0)
    .optional()
    .meta({ description: "The class that separates words: counts words instead of characters." }),
});

export const errorRate = defineMetric({
  id: "error-rate",
  title: "Error rate",
  doc: "Percent of characters (with `error-rate:space=CLASS`, of words) that are wrong: the sum of the edit distances over the sum of the lengths, with an interval over records. Scores of classes in time are read greedily: the largest at each step, repetitions once, without blanks (CTC). Without labels the texts are compared with those that the original reads.",
  cite: "Graves et al. 2006 (best path decoding); Levenshtein 1966",
  higherIsBetter: false,
  unit: { value: "%", drop: "points" },
  scale: { point: 1, collapse: 10 },
  needs: "either",
  reads: {
    outputs: "scores [N, T, C], or [T, C] and [T, 1, C] of one record",
    label: "classes [N, L], padded with -1 or -100; none: what the original reads",
  },
  options: recognizer,
  fits(batch, options): Fit | string {
    const found = scoresIn(batch);
    if (typeof found === "string") return found;
    const { label } = batch;
    if (label && label.shape.length !== 2)
      return `a label of shape [${label.shape}] is no list of classes`;
    const against = label ? "labels" : "original";
    const { output, steps, classes } = found;
    return {
      outputs: [output],
      against,
      anySize: true,
      note: `texts read from ${output}, ${steps} steps of ${classes} classes (CTC)`,
      judge: () => judgeTexts(output, against, options),
    };
  },
  isGuessed(batch) {
    const found = scoresIn(batch);
    if (typeof found === "string") return false;
    const { label, records } = batch;
    const { output, steps, classes } = found;
    if (label) {
      const isList = label.shape.length === 2 && dtypes[label.dtype].kind === "int";
      return isList && label.size / records <= steps;
    }
    // A picture of which probabilities are given in time: a recognizer of text.
    const isPicture = Object.values(batch.inputs ?? {}).some(({ shape }) => shape.length === 4);
    const row = batch.outputs[output].floats().subarray(0, classes);
    const isAlone = Object.keys(batch.outputs).length === 1;
    return isPicture && isAlone && steps > 1 && classes > 10 && isDistribution(row);
  },
});

/** The first output of class scores in time. */
function scoresIn({ outputs, records }: Batch) {
  for (const [output, { dtype, shape }] of Object.entries(outputs)) {
    if (dtypes[dtype].kind !== "float") continue;
    const own = (shape[0] === records ? shape.slice(1) : shape).filter((dim) => dim !== 1);
    if (own.length === 2 && !(records > 1 && shape[0] !== records)) {
      return { output, steps: own[0], classes: own[1] };
    }
  }
  return `no output holds class scores in time: ${shapesOf(outputs)}`;
}

/** The class with the largest score at each step; -1 where scores are NaN. */
function pathOf({ values, shape }: Output): Int32Array {
  const classes = shape.at(-1) ?? 1;
  return Int32Array.from({ length: values.length / classes }, (_, t) =>
    argmax(values.subarray(t * classes, (t + 1) * classes)),
  );
}

/** Best path decoding: repetitions count once, blanks not at all. */
export function collapsePath(path: ArrayLike<number>, blank: number): number[] {
  const text: number[] = [];
  for (let t = 0; t < path.length; t++) {
    if (path[t] !== blank && path[t] !== path[t - 1]) text.push(path[t]);
  }
  return text;
}

/** The words of a text: its parts between separators, each as one element. */
function wordsOf(text: readonly number[], space: number): string[] {
  const words = text
    .map((c) => (c === space ? " " : `${c},`))
    .join("")
    .split(" ");
  return words.filter((word) => word !== "");
}

function judgeTexts(
  output: string,
  against: Fit["against"],
  { blank, space }: z.output<typeof recognizer>,
): Judge {
  const paths: Int32Array[] = [];
  const originals: (Int32Array | null)[] = [];
  const labels: number[][] = [];
  let classes = 0;
  let broken = 0;
  return {
    add({ outputs, label, original }) {
      const other = original?.[output];
      if (against === "original" && !other) return false;
      classes = outputs[output].shape.at(-1) ?? 1;
      const path = pathOf(outputs[output]);
      paths.push(path);
      originals.push(other ? pathOf(other) : null);
      if (label) labels.push([...label.values].filter((c) => c >= 0));
      if (!path.includes(-1)) return false;
      broken++;
      return true;
    },
    finish(): Verdict {
      const known = originals.map((path, i) => path ?? paths[i]);
      const silent = blank === undefined ? blankOf(known, classes) : (blank + classes) % classes;
      const text = (path: Int32Array) => collapsePath(path, silent);
      const units = (own: readonly number[]): readonly (number | string)[] =>
        space === undefined ? own : wordsOf(own, space);
      const own = paths.map((path) => units(text(path)));
      const before = originals.map((path) => path && units(text(path)));
      const expected = against === "labels" ? labels.map(units) : before.map((own) => own ?? []);
      const edits = own.map((found, i) => editDistance(found, expected[i]));
      const sizes = expected.map(({ length }) => length);
      const size = sizes.reduce((a, b) => a + b, 0);
      const wrong = edits.reduce((a, b) => a + b, 0);
      const { value, ci95 } = ratioOfSums(edits, sizes);
      const saved = before.map((found, i) => edits[i] - editDistance(found ?? [], expected[i]));
      const isPaired = before.every((found) => found !== null);
      const drop = isPaired && size > 0 ? ratioOfSums(saved, sizes).ci95 : null;
      const compared = before.filter((found) => found !== null).length;
      const changed = before.filter((found, i) => found && editDistance(found, own[i]) > 0).length;
      const noun = space === undefined ? "characters" : "words";
      const nothing = `${against === "labels" ? "the labels hold" : "the original reads"} no ${noun} in any record`;
      return {
        value: size > 0 ? 100 * value : wrong > 0 ? 100 : 0,
        ci95: ci95 && size > 0 ? [Math.max(0, 100 * ci95[0]), 100 * ci95[1]] : null,
        dropCi95: drop && [100 * drop[0], 100 * drop[1]],
        flips: compared > 0 ? (100 * changed) / compared : null,
        words: `${wrong} of ${size} ${noun} ${against === "labels" ? "wrong" : "differ"}${compared > 0 ? `, ${changed} of ${compared} texts changed` : ""}`,
        predictions: paths.length,
        broken,
        ...(size === 0 && { warnings: [nothing] }),
        ...onlyText(own, before),
      };
    },
  };
}

/** The blank: of the first and the last class the one that is the largest more often. */
function blankOf(paths: readonly Int32Array[], classes: number): number {
  let balance = 0;
  for (const path of paths) {
    for (const c of path) balance += c === 0 ? 1 : c === classes - 1 ? -1 : 0;
  }
  return balance >= 0 ? 0 : classes - 1;
}

/** The one text that all records are read as, where the original read others too. */
function onlyText(
  own: readonly (readonly (number | string)[])[],
  before: readonly (readonly (number | string)[] | null)[],
): Pick<Verdict, "only"> {
  const differ = (texts: readonly (readonly unknown[] | null)[]) =>
    new Set(texts.map((text) => text?.join(" "))).size > 1;
  if (own.length < 2 || differ(own) || !before[0] || !differ(before)) return {};
  return { only: own[0].length === 0 ? "no text at all" : "the same text" };
}
