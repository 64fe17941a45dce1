/** @file Boxes and scores side by side in one output, as YOLO gives them before suppression. */
import type { Batch } from "../metrics/spec.ts";
import type { Box } from "./box.ts";
import { cornersOf, fillsGrids, floatOutputs, type Layout, probability } from "./layout.ts";
import { rowsOf } from "./pair.ts";

/**
 * [4 + C, A]: centre, size and the scores of C classes for each of A places (YOLOv8 and later), or
 * [A, 5 + C]: with the score that there is anything at all before them (YOLOv5, YOLOv7). A is the
 * longer axis. Null if no output is like that.
 */
export function yoloLayout(batch: Batch): Layout | null {
  for (const { name, shape } of floatOutputs(batch)) {
    if (shape.length !== 2) continue;
    const isPlanar = shape[0] < shape[1];
    const [width, count] = isPlanar ? shape : [shape[1], shape[0]];
    // Behind the scores lie the weights of masks, where another output holds the masks themselves.
    const masks = Object.values(batch.outputs).find((other) => other.shape.length === 4);
    const before = isPlanar || width === 5 ? 4 : 5;
    const classes = width - before - (masks ? masks.shape[1] : 0);
    if (classes < 1) continue;
    return {
      outputs: [name],
      note: `YOLO, ${count} boxes with ${classes} class${classes === 1 ? "" : "es"} in ${name} [${shape}]`,
      isClear: fillsGrids(count, batch),
      isFinal: false,
      readerFor(sample) {
        const at = (i: number, k: number) => (isPlanar ? k * count + i : i * width + k);
        const { values: first } = sample[name];
        const scores: number[] = [];
        for (let i = 0; i < count; i++) {
          for (let k = 4; k < before + classes; k++) scores.push(first[at(i, k)]);
        }
        const chance = probability(scores);
        return (outputs, least) => {
          const { values } = outputs[name];
          return rowsOf(count, (i): Box | null => {
            let best = before;
            for (let k = before + 1; k < before + classes; k++) {
              if (values[at(i, k)] > values[at(i, best)]) best = k;
            }
            const anything = before === 5 ? chance(values[at(i, 4)]) : 1;
            const score = anything * chance(values[at(i, best)]);
            if (!(score >= least)) return null;
            const [x, y, w, h] = [0, 1, 2, 3].map((k) => values[at(i, k)]);
            return { class: best - before, score, ...cornersOf(x, y, w, h, true) };
          });
        };
      },
    };
  }
  return null;
}
