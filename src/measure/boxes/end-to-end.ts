/** @file Boxes that a model has already chosen: rows of 6 or 7 numbers. */
import type { Batch, Numbers } from "../metrics/spec.ts";
import { areCentres, cornersOf, fillsGrids, floatOutputs, type Layout } from "./layout.ts";
import { rowsOf } from "./pair.ts";

/** In which columns the numbers of a row are. */
interface Columns {
  readonly box: number;
  readonly class: number;
  readonly score: number;
  /** The number of the picture; below 0 for a row that is only padding. */
  readonly picture: number | null;
}

/** By the number of columns, the most usual first. */
const known: Readonly<Record<number, readonly Columns[]>> = {
  6: [
    { box: 0, score: 4, class: 5, picture: null }, // YOLOv10, Ultralytics with nms=True
    { box: 2, score: 1, class: 0, picture: null }, // PaddleDetection
  ],
  7: [
    { picture: 0, class: 1, score: 2, box: 3 }, // Caffe's and OpenVINO's DetectionOutput
    { picture: 0, box: 1, class: 5, score: 6 }, // YOLOv7
  ],
};

/** Rows [M, 6] or [M, 7]. Null if no output has them. */
export function endToEndLayout(batch: Batch): Layout | null {
  for (const { name, shape } of floatOutputs(batch)) {
    const [count, width] = shape;
    if (shape.length !== 2 || !known[width] || fillsGrids(count, batch)) continue;
    const values = batch.outputs[name].floats();
    const sure = columnsOf(values, width);
    if (!sure && filled(values, width).length > 0) continue; // the numbers mean something else
    const isNamed = /det|box|nms/i.test(name);
    const isPicture = Object.values(batch.inputs ?? {}).some(({ shape }) => shape.length === 4);
    return {
      outputs: [name],
      note: `up to ${count} chosen boxes in ${name}, rows of ${width} numbers`,
      isClear: isNamed || (isPicture && sure !== null),
      isFinal: true,
      readerFor(sample) {
        const own = sample[name].values;
        const columns = columnsOf(own, width) ?? sure ?? known[width][0];
        const { box, class: kind, score, picture } = columns;
        const taken = filled(own, width);
        const isCentre = areCentres(own, (i, k) => taken[i] * width + box + k, taken.length);
        return (outputs, least) => {
          const { values } = outputs[name];
          return rowsOf(values.length / width, (i) => {
            const row = values.subarray(i * width, (i + 1) * width);
            if (!(row[score] >= least) || (picture !== null && row[picture] < 0)) return null;
            const [a, b, c, d] = row.subarray(box, box + 4);
            const corners = cornersOf(a, b, c, d, isCentre);
            return { class: row[kind], score: row[score], ...corners };
          });
        };
      },
    };
  }
  return null;
}

/** The rows that are not all zeros or padding. */
function filled(values: Numbers, width: number): number[] {
  const rows = Array.from({ length: values.length / width }, (_, i) => i);
  return rows.filter((i) => {
    const row = values.subarray(i * width, (i + 1) * width);
    return row[0] >= 0 && row.some((x) => x !== 0);
  });
}

/** The columns that fit all rows: whole numbers for classes, 0 to 1 for scores. Null for no rows. */
function columnsOf(values: Numbers, width: number): Columns | null {
  const rows = filled(values, width);
  if (rows.length === 0) return null;
  const fits = ({ class: kind, score, box }: Columns) =>
    rows.every((i) => {
      const row = values.subarray(i * width, (i + 1) * width);
      const isOrdered = row[box + 2] >= row[box] && row[box + 3] >= row[box + 1];
      return Number.isInteger(row[kind]) && row[score] >= 0 && row[score] <= 1 && isOrdered;
    });
  return known[width].find(fits) ?? null;
}
