/** @file Detection: boxes against labelled boxes (mAP), or against those of the original (F1). */
import { z } from "zod";
import { areFinite } from "../../numeric/finite.ts";
import {
  type Interval,
  jackknife,
  jackknifeGroups,
  shareOfSums,
} from "../../numeric/statistics.ts";
import { judgeBoxes, meanAveragePrecision, type Truth } from "../boxes/average-precision.ts";
import { type Box, type Changes, compareBoxes, suppress } from "../boxes/box.ts";
import { endToEndLayout } from "../boxes/end-to-end.ts";
import { type Layout, pictureSize, type Reader } from "../boxes/layout.ts";
import { pairLayout } from "../boxes/pair.ts";
import { yoloLayout } from "../boxes/yolo.ts";
import { shapesOf } from "../task.ts";
import {
  type Batch,
  defineMetric,
  type Fit,
  type Judge,
  type Output,
  type Verdict,
} from "./spec.ts";

/** With labels unsure boxes count too: they are the end of the curve. */
const UNSURE = 0.001;

const detector = z.object({
  score: z.number().min(0).max(1).default(0.25).meta({
    description: "Boxes that score less do not count, unless they are judged by labels.",
  }),
  nms: z.number().min(0).max(1).default(0.45).meta({
    description:
      "Of two boxes of a class that overlap by more than this only the surer one counts (1: both).",
  }),
});

export const detection = defineMetric({
  id: "detection",
  title: "Detection",
  doc: `With labelled boxes the mean average precision at an overlap of 0.5, all-point interpolation, boxes from a score of ${UNSURE} on. Without labels the F1 of the boxes against the original's, 2 kept / (2 kept + lost + new): boxes of one class that overlap by at least 0.5 are the same. Boxes that overlap a surer one of their class by more than 0.45 are left out first, where the model has not done so itself; without labels also those that score below 0.25 (\`detection:score=0.5,nms=0.6\`).`,
  cite: "Everingham et al. 2010 (PASCAL VOC 2010, overlap and interpolation); Kott 2001",
  higherIsBetter: true,
  unit: { value: "%", drop: "points" },
  scale: { point: 1, collapse: 10 },
  needs: "either",
  reads: {
    outputs:
      "boxes [N, A, 4] and scores [N, A, C]; YOLO's [N, 4 + C, A] and [N, A, 5 + C]; chosen boxes [N, M, 6], [N, M, 7], or boxes, scores and classes",
    label:
      "rows of class, x1, y1, x2, y2 [N, M, 5] in the outputs' coordinates, pixels or shares of the picture, padded with -1; none: the original's boxes",
  },
  options: detector,
  fits(batch, options): Fit | string {
    const layout = layoutOf(batch);
    if (!layout)
      return `there are no boxes and scores among the outputs ${shapesOf(batch.outputs)}`;
    const { label, records } = batch;
    if (label && (label.size / records) % 5 !== 0) {
      return `a label of shape [${label.shape}] holds no rows of class, x1, y1, x2, y2`;
    }
    const { outputs, note, isFinal } = layout;
    const against = label ? "labels" : "original";
    const limits = isFinal ? "" : `, scores from ${options.score}, overlaps to ${options.nms}`;
    return {
      outputs,
      against,
      anySize: true,
      note: `${note}${label ? "" : limits}`,
      judge: () => judgeDetections(layout, { ...options, against, size: pictureSize(batch) }),
    };
  },
  isGuessed(batch) {
    const { label } = batch;
    const isListed = !label || (label.shape.length === 3 && label.shape[2] === 5);
    return isListed && layoutOf(batch)?.isClear === true;
  },
});

/** Where the boxes are in the outputs; null if there are none. */
export const layoutOf = (batch: Batch): Layout | null =>
  pairLayout(batch) ?? endToEndLayout(batch) ?? yoloLayout(batch);

interface Judging extends z.output<typeof detector> {
  readonly against: Fit["against"];
  readonly size: { readonly height: number; readonly width: number } | null;
}

/** The boxes of one record. */
interface Detections {
  readonly own: readonly Box[];
  readonly original: readonly Box[] | null;
  readonly truths: readonly Truth[];
}

function judgeDetections(layout: Layout, { against, score, nms, size }: Judging): Judge {
  const records: Detections[] = [];
  let reader: Reader | null = null;
  let broken = 0;
  return {
    add({ outputs, label, original }) {
      if (against === "original" && !original) return false;
      reader ??= layout.readerFor(original ?? outputs);
      const read = (from: typeof outputs): Box[] => {
        const all = reader!(from, against === "labels" ? Math.min(UNSURE, score) : score);
        return layout.isFinal ? all : suppress(all, nms);
      };
      records.push({
        own: read(outputs),
        original: original && read(original),
        truths: label ? truthsOf(label) : [],
      });
      if (layout.outputs.every((name) => areFinite(outputs[name].values))) return false;
      broken++;
      return true;
    },
    finish(): Verdict {
      const sure = (boxes: readonly Box[]) => boxes.filter((box) => box.score >= score);
      const compared = records.filter(({ original }) => original !== null);
      const changes = compared.map(({ own, original }) => compareBoxes(sure(own), sure(original!)));
      const judged =
        against === "labels"
          ? averagePrecisions(records, size)
          : likeness(changes, compared.length);
      const figure = against === "labels" ? "mAP at overlap 0.5" : "F1";
      return { ...judged, ...inWords(figure, changes), predictions: records.length, broken };
    },
  };
}

/** The labelled boxes of a record; rows of a class below 0 are padding. */
function truthsOf({ values }: Output): Truth[] {
  const rows = Array.from({ length: values.length / 5 }, (_, i) =>
    values.subarray(5 * i, 5 * i + 5),
  );
  return rows
    .filter(([kind]) => kind >= 0)
    .map(([kind, x1, y1, x2, y2]) => ({ class: kind, x1, y1, x2, y2 }));
}

type Figures = Pick<Verdict, "value" | "ci95" | "dropCi95" | "warnings">;

/** F1 = 2 kept / (2 kept + lost + new) in percent, with its interval over records. */
function likeness(changes: readonly Changes[], records: number): Figures {
  const twice = changes.map(({ kept }) => 2 * kept);
  const all = changes.map(({ kept, lost, added }) => 2 * kept + lost + added);
  if (all.every((n) => n === 0)) {
    const why = `the original finds no box on ${records} record${records === 1 ? "" : "s"}: they say nothing of boxes (a lower score: --metric detection:score=0.1)`;
    return { value: 100, ci95: null, dropCi95: null, warnings: [why] };
  }
  const { value, ci95 } = shareOfSums(twice, all);
  const percent: Interval | null = ci95 && [100 * ci95[0], 100 * ci95[1]];
  return {
    value: 100 * value,
    ci95: percent,
    dropCi95: percent && [100 - percent[1], 100 - percent[0]],
  };
}

/** The mean average precision in percent, its interval and that of its drop by the jackknife. */
function averagePrecisions(records: readonly Detections[], size: Judging["size"]): Figures {
  const { labelled, scaled } = inOneUnit(records, size);
  const judgedBy = (version: "own" | "original") =>
    records.map((record, i) => judgeBoxes(record[version] ?? [], labelled[i]));
  const own = judgedBy("own");
  const before = judgedBy("original");
  const groups = Math.min(jackknifeGroups, records.length);
  const range = Array.from({ length: groups }, (_, j) => j);
  const map = (all: typeof own, without = -1) =>
    100 * meanAveragePrecision(all.filter((_, i) => i % groups !== without));
  const value = map(own);
  const spread = range.map((j) => map(own, j));
  const isPaired = records.every(({ original }) => original !== null);
  const drops = isPaired ? range.map((j) => map(before, j) - spread[j]) : [];
  const interval = jackknife(value, spread);
  const warnings = [
    ...scaled,
    ...(Number.isNaN(value) ? ["no record has a labelled box: there is nothing to find"] : []),
  ];
  return {
    value,
    ci95: interval && [Math.max(0, interval[0]), Math.min(100, interval[1])],
    dropCi95: isPaired ? jackknife(map(before) - value, drops) : null,
    warnings,
  };
}

/** The labelled boxes in the unit of the outputs, where one is in pixels and the other in shares. */
function inOneUnit(records: readonly Detections[], size: Judging["size"]) {
  const largest = (boxes: readonly (Box | Truth)[]) =>
    boxes.reduce((most, { x2, y2 }) => Math.max(most, x2, y2), 0);
  const labels = largest(records.flatMap(({ truths }) => truths));
  const found = largest(records.flatMap(({ own, original }) => original ?? own));
  const isShare = (most: number) => most > 0 && most <= 1.5;
  const isPixel = (most: number) => most > 2;
  const labelled = records.map(({ truths }) => truths);
  const grows = isShare(labels) && isPixel(found);
  const shrinks = isPixel(labels) && isShare(found);
  if (!size || !(grows || shrinks)) return { labelled, scaled: [] };
  const [x, y] = grows ? [size.width, size.height] : [1 / size.width, 1 / size.height];
  const scale = (t: Truth): Truth => ({
    class: t.class,
    x1: t.x1 * x,
    y1: t.y1 * y,
    x2: t.x2 * x,
    y2: t.y2 * y,
  });
  const units = grows
    ? "the labels are shares of the picture, the outputs pixels"
    : "the labels are pixels, the outputs shares of the picture";
  return {
    labelled: labelled.map((truths) => truths.map(scale)),
    scaled: [`${units}: the labels are scaled to ${size.width} x ${size.height}`],
  };
}

/** What became of the original's boxes, in words and as a share of all boxes. */
function inWords(
  figure: string,
  changes: readonly Changes[],
): Pick<Verdict, "words" | "flips" | "only"> {
  if (changes.length === 0) return { words: figure };
  const sum = (of: (change: Changes) => number) => changes.reduce((n, c) => n + of(c), 0);
  const [kept, lost, added] = [sum((c) => c.kept), sum((c) => c.lost), sum((c) => c.added)];
  const all = kept + lost + added;
  return {
    words: `${figure}, ${lost} of ${kept + lost} boxes lost, ${added} new`,
    flips: all > 0 ? (100 * (lost + added)) / all : 0,
    ...(kept + added === 0 && lost > 0 && { only: "no box" }),
  };
}
