/** @file Boxes in one output and their scores in another, as SSD, torchvision and DETR give them. */
import { dtypes } from "../../ir/dtype.ts";
import type { Batch } from "../metrics/spec.ts";
import { isDistribution } from "../scores.ts";
import type { Box } from "./box.ts";
import {
  areCentres,
  cornersOf,
  fillsGrids,
  floatOutputs,
  type Layout,
  probability,
  recordShape,
} from "./layout.ts";

const isNamedBoxes = (name: string): boolean => /box|loc|rois/i.test(name);
const isNamedClasses = (name: string): boolean => /class|label|cls/i.test(name);

/**
 * Boxes [A, 4] with scores [A, C] of each class, or with a score [A] and a class [A] each, which is
 * final. Null if the outputs are none of these.
 */
export function pairLayout(batch: Batch): Layout | null {
  const floats = floatOutputs(batch);
  const possible = floats.filter(({ shape }) => shape.length === 2 && shape[1] === 4);
  const boxes = possible.find(({ name }) => isNamedBoxes(name)) ?? possible[0];
  if (!boxes) return null;
  const [count] = boxes.shape;
  const others = floats.filter(({ name, shape }) => name !== boxes.name && shape.includes(count));
  const single = others.filter(({ shape }) => shape.every((dim) => dim === count || dim === 1));
  const classes = Object.entries(batch.outputs).find(
    ([name, value]) =>
      name !== boxes.name &&
      (isNamedClasses(name) || dtypes[value.dtype].kind === "int") &&
      recordShape(value, batch.records).every((dim) => dim === count || dim === 1),
  );
  const score = single.find(({ name }) => name !== classes?.[0]);
  if (score && classes) return chosenLayout(boxes.name, score.name, classes[0], count, batch);
  const scores = others.find(({ shape }) => shape.length === 2 && shape[0] === count) ?? score;
  if (!scores) return null;
  return scoredLayout(boxes.name, scores.name, [count, scores.shape[1] ?? 1], batch);
}

/** TensorFlow's detectors give y before x. */
const isTurned = (name: string): boolean => /detection_boxes/i.test(name);

function chosenLayout(
  boxes: string,
  score: string,
  classes: string,
  count: number,
  batch: Batch,
): Layout {
  return {
    outputs: [boxes, score, classes],
    note: `${count} boxes in ${boxes}, their scores in ${score}, their classes in ${classes}`,
    isClear: isNamedBoxes(boxes) || fillsGrids(count, batch),
    isFinal: true,
    readerFor: () => (outputs, least) => {
      const [b, s, c] = [boxes, score, classes].map((name) => outputs[name].values);
      return rowsOf(s.length, (i) =>
        s[i] >= least ? { class: c[i], score: s[i], ...corners(b, i, false, boxes) } : null,
      );
    },
  };
}

function scoredLayout(
  boxes: string,
  scores: string,
  [count, classes]: readonly [number, number],
  batch: Batch,
): Layout {
  return {
    outputs: [boxes, scores],
    note: `${count} boxes in ${boxes}, scores of ${classes} class${classes === 1 ? "" : "es"} in ${scores}`,
    isClear: isNamedBoxes(boxes) || fillsGrids(count, batch),
    isFinal: false,
    readerFor(sample) {
      const [b, s] = [sample[boxes].values, sample[scores].values];
      const isCentre = areCentres(b, (i, k) => 4 * i + k, b.length / 4);
      // Shares of one whole have a first class for "nothing here" (SSD).
      const rows = Math.min(100, s.length / classes);
      const first =
        classes > 1 &&
        Array.from({ length: rows }, (_, i) => s.subarray(i * classes, (i + 1) * classes)).every(
          isDistribution,
        )
          ? 1
          : 0;
      const chance = probability(s);
      return (outputs, least) => {
        const own = outputs[scores].values;
        return rowsOf(own.length / classes, (i) => {
          let best = first;
          for (let c = first + 1; c < classes; c++) {
            if (own[i * classes + c] > own[i * classes + best]) best = c;
          }
          const score = chance(own[i * classes + best]);
          if (!(score >= least)) return null;
          return { class: best, score, ...corners(outputs[boxes].values, i, isCentre, boxes) };
        });
      };
    },
  };
}

function corners(values: ArrayLike<number>, i: number, isCentre: boolean, name: string) {
  const [a, b, c, d] = [0, 1, 2, 3].map((k) => values[4 * i + k]);
  return isTurned(name) ? cornersOf(b, a, d, c, isCentre) : cornersOf(a, b, c, d, isCentre);
}

/** The boxes of the rows that have one. */
export function rowsOf(count: number, boxOf: (i: number) => Box | null): Box[] {
  const found: Box[] = [];
  for (let i = 0; i < count; i++) {
    const box = boxOf(i);
    if (box) found.push(box);
  }
  return found;
}
