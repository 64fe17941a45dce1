/** @file Mean IoU: how well the areas of each class agree, pixel by pixel. */
import { dtypes } from "../../ir/dtype.ts";
import { argmax } from "../../numeric/argmax.ts";
import { type Interval, jackknife, jackknifeGroups } from "../../numeric/statistics.ts";
import { shapesOf } from "../task.ts";
import {
  type Batch,
  defineMetric,
  type Fit,
  type Judge,
  type Numbers,
  type Verdict,
} from "./spec.ts";

export const iou = defineMetric({
  id: "iou",
  title: "Mean intersection over union",
  doc: "Mean over classes of intersection / union of the pixels that are given the class and those that are labelled with it, summed over all records; classes that occur in neither are left out. The class of a pixel is that of its largest score; with one channel, whether it is above 0.5 (or, of logits, above 0). Intervals by the jackknife over records.",
  cite: "Everingham et al. 2010; Kott 2001",
  higherIsBetter: true,
  unit: { value: "%", drop: "points" },
  scale: { point: 1, collapse: 10 },
  needs: "either",
  reads: {
    outputs: "scores [N, C, H, W] or [N, H, W, C], or classes of an integer type [N, H, W]",
    label:
      "classes [N, H, W], -100 or 255 for pixels that do not count; none: the original's classes",
  },
  fits(batch): Fit | string {
    const map = mapIn(batch);
    if (typeof map === "string") return map;
    const against = batch.label ? "labels" : "original";
    const { output, channels, height, width } = map;
    return {
      outputs: [output],
      against,
      note: `${channels === null ? "classes" : `${channels} channel${channels === 1 ? "" : "s"}`} of ${width} x ${height} pixels in ${output}`,
      judge: () => judgeMaps(map, against),
    };
  },
  isGuessed(batch) {
    const map = mapIn(batch);
    if (typeof map === "string" || map.channels === null) return false;
    const { label, inputs = {} } = batch;
    const { channels, height, width } = map;
    if (label) {
      return channels > 1 && label.shape.length > 2 && dtypes[label.dtype].kind === "int";
    }
    // Scores of as many pixels as the picture has, and of too many channels for a picture.
    const isWhole = Object.values(inputs).some(
      ({ shape }) => shape.length === 4 && shape[2] === height && shape[3] === width,
    );
    return isWhole && channels > 1 && channels !== 3 && channels !== 4;
  },
});

/** Where the classes of pixels are. */
interface ClassMap {
  readonly output: string;
  /** Null for an output that holds classes rather than scores. */
  readonly channels: number | null;
  readonly isPlanar: boolean;
  readonly height: number;
  readonly width: number;
}

/** The first output that holds a class, or scores of classes, for each pixel. */
function mapIn({ records, label, outputs, inputs = {} }: Batch): ClassMap | string {
  const pixels = label && label.size / records;
  for (const [output, { dtype, shape }] of Object.entries(outputs)) {
    if (shape[0] !== records) continue;
    const own = shape.slice(1);
    if (dtypes[dtype].kind === "int") {
      const [height, width] = own.filter((dim, i) => !(own.length === 3 && i === 0 && dim === 1));
      if (own.length < 2 || own.length > 3 || width === undefined) continue;
      if (pixels !== null && pixels !== height * width) continue;
      return { output, channels: null, isPlanar: true, height, width };
    }
    if (own.length !== 3 || dtypes[dtype].kind !== "float") continue;
    const planar = { output, channels: own[0], isPlanar: true, height: own[1], width: own[2] };
    const packed = { output, channels: own[2], isPlanar: false, height: own[0], width: own[1] };
    const fits = ({ height, width }: ClassMap) => pixels === null || pixels === height * width;
    const isPicture = ({ height, width }: ClassMap) =>
      Object.values(inputs).some(({ shape }) => {
        const axes = shape.slice(1);
        return axes.includes(height) && axes.includes(width) && axes.length === 3;
      });
    const ways = [planar, packed].filter(fits);
    const sure = ways.find(isPicture);
    const [first] = ways.sort((a, b) => a.channels - b.channels);
    if (first) return sure ?? first;
  }
  const why = label
    ? `a label of shape [${label.shape}] fits none of`
    : "there are no maps of classes among";
  return `${why} the outputs ${shapesOf(outputs)}`;
}

/** Intersections and unions by class, for one group of records. */
type Areas = { readonly both: number[]; readonly either: number[] };

const areas = (): Areas => ({ both: [], either: [] });

/** Counts the pixels of a record. A class below 0 is none. */
function count(into: Areas, found: ArrayLike<number>, expected: ArrayLike<number>): void {
  const add = (list: number[], c: number): void => {
    list[c] = (list[c] ?? 0) + 1;
  };
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [found[i], expected[i]];
    if (b === -100 || b === 255) continue;
    if (a === b) add(into.both, b);
    if (b >= 0) add(into.either, b);
    if (a !== b && a >= 0) add(into.either, a);
  }
}

/** The IoU of each class that occurs, 0..1, by class. */
function ious(groups: readonly Areas[], without = -1): Map<number, number> {
  const total = areas();
  for (const [j, { both, either }] of groups.entries()) {
    if (j === without) continue;
    for (const [c, n] of both.entries()) total.both[c] = (total.both[c] ?? 0) + (n ?? 0);
    for (const [c, n] of either.entries()) total.either[c] = (total.either[c] ?? 0) + (n ?? 0);
  }
  const found = new Map<number, number>();
  for (const [c, n] of total.either.entries()) if (n > 0) found.set(c, (total.both[c] ?? 0) / n);
  return found;
}

const meanOf = (values: Iterable<number>): number => {
  const all = [...values];
  return (100 * all.reduce((a, b) => a + b, 0)) / all.length;
};

function judgeMaps(map: ClassMap, against: Fit["against"]): Judge {
  const { output } = map;
  const own: Areas[] = [];
  const before: Areas[] = [];
  const answers = new Set<number>();
  const answersOfOriginal = new Set<number>();
  let [records, compared, pixels, flips, broken] = [0, 0, 0, 0, 0];
  return {
    add({ outputs, label, original }) {
      const other = original?.[output]?.values;
      if (against === "original" && !other) return false;
      const { shape } = outputs[output];
      const isLogit = (other ?? outputs[output].values).some((x) => x < 0 || x > 1);
      const found = classesOf(outputs[output].values, shape, map, isLogit);
      const first = other ? classesOf(other, shape, map, isLogit) : null;
      const expected = against === "labels" ? label!.values : first!;
      const group = records++ % jackknifeGroups;
      own[group] ??= areas();
      before[group] ??= areas();
      count(own[group], found, expected);
      for (const c of found) answers.add(c);
      if (first) {
        compared++;
        pixels += first.length;
        for (let i = 0; i < first.length; i++) if (first[i] !== found[i]) flips++;
        for (const c of first) answersOfOriginal.add(c);
        count(before[group], first, expected);
      }
      if (!found.includes(-1)) return false;
      broken++;
      return true;
    },
    finish(): Verdict {
      const groups = own.map((_, j) => j);
      const value = meanOf(ious(own).values());
      const spread = groups.map((j) => meanOf(ious(own, j).values()));
      const clipped = (ci: Interval | null): Interval | null =>
        ci && [Math.max(0, ci[0]), Math.min(100, ci[1])];
      const drops = groups.map((j) => meanOf(ious(before, j).values()) - spread[j]);
      const isPaired = compared === records && records > 0;
      const drop = isPaired ? meanOf(ious(before).values()) - value : 0;
      const [worst] = [...ious(own)].sort((a, b) => a[1] - b[1]);
      const changed =
        pixels > 0 ? [`${((100 * flips) / pixels).toFixed(2)} % of the pixels changed`] : [];
      const least = worst
        ? [`lowest: class ${worst[0]} with ${(100 * worst[1]).toFixed(2)} %`]
        : [];
      const [answer] = answers;
      return {
        value,
        ci95: clipped(jackknife(value, spread)),
        dropCi95: isPaired ? jackknife(drop, drops) : null,
        flips: pixels > 0 ? (100 * flips) / pixels : null,
        words: [...changed, ...least].join(", "),
        predictions: records,
        broken,
        ...(answers.size === 1 && answersOfOriginal.size > 1 && { only: `class ${answer}` }),
      };
    },
  };
}

/** The class of each pixel; -1 where a score is NaN. */
function classesOf(
  values: Numbers,
  shape: readonly number[],
  { channels, isPlanar }: ClassMap,
  isLogit: boolean,
): Int32Array {
  const [height, width] = isPlanar ? shape.slice(-2) : shape;
  const size = height * width;
  if (channels === null) return Int32Array.from(values);
  if (channels === 1) {
    const limit = isLogit ? 0 : 0.5;
    return Int32Array.from(values, (x) => (Number.isNaN(x) ? -1 : x > limit ? 1 : 0));
  }
  const row = new Float64Array(channels);
  return Int32Array.from({ length: size }, (_, i) => {
    for (let c = 0; c < channels; c++) row[c] = values[isPlanar ? c * size + i : i * channels + c];
    return argmax(row);
  });
}
