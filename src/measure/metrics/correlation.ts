/** @file Correlation: Pearson's r of outputs and targets, and Spearman's in words. */
import { type Interval, jackknife, jackknifeGroups } from "../../numeric/statistics.ts";
import { type Target, targetOf } from "../targets.ts";
import { defineMetric, type Judge } from "./spec.ts";

export const correlation = defineMetric({
  id: "correlation",
  title: "Correlation",
  doc: "Pearson's r of outputs and targets over all numbers of all records, with an interval by the jackknife over records; Spearman's rank correlation (of equal numbers the mean rank) is told beside it.",
  cite: "Pearson 1896; Spearman 1904; Kott 2001",
  higherIsBetter: true,
  unit: { value: "", drop: "" },
  digits: 4,
  scale: { point: 0.01, collapse: 0.1 },
  needs: "either",
  reads: {
    outputs: "scores [N] or any shape",
    label: "targets of the same size ([N, 1] of floats); none: the original's outputs",
  },
  fits(batch) {
    const target = targetOf(batch);
    if (typeof target === "string") return target;
    return {
      outputs: [target.output],
      against: target.against,
      judge: () => judgeCorrelation(target),
    };
  },
});

function judgeCorrelation({ output, against }: Target): Judge {
  const own: number[][] = [];
  const before: number[][] = [];
  const targets: number[][] = [];
  let broken = 0;
  return {
    add({ outputs, label, original }) {
      const other = original?.[output]?.values;
      const target = against === "labels" ? label?.values : other;
      if (!target) return false;
      const { values } = outputs[output];
      own.push([...values]);
      targets.push([...target]);
      if (other) before.push([...other]);
      if (values.every(Number.isFinite)) return false;
      broken++;
      return true;
    },
    finish() {
      const n = own.length;
      const groups = Math.min(jackknifeGroups, n);
      const all = (rows: readonly number[][], without = -1) =>
        rows.filter((_, i) => i % groups !== without).flat();
      const r = (rows: readonly number[][], without = -1) =>
        pearson(all(rows, without), all(targets, without));
      const range = Array.from({ length: n > 2 ? groups : 0 }, (_, j) => j);
      const isPaired = before.length === n;
      const value = r(own);
      const rank = pearson(ranks(all(own)), ranks(all(targets)));
      const clipped = (ci: Interval | null): Interval | null =>
        ci && [Math.max(-1, ci[0]), Math.min(1, ci[1])];
      const drops = range.map((j) => r(before, j) - r(own, j));
      return {
        value,
        ci95: clipped(
          jackknife(
            value,
            range.map((j) => r(own, j)),
          ),
        ),
        dropCi95: isPaired ? jackknife(r(before) - value, drops) : null,
        words: `Spearman ${rank.toFixed(4)}`,
        predictions: n,
        broken,
      };
    },
  };
}

/** Pearson's r = sum (x - mx) (y - my) / sqrt(sum (x - mx)^2 sum (y - my)^2); NaN for constants. */
export function pearson(x: readonly number[], y: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    xx += (x[i] - mx) ** 2;
    yy += (y[i] - my) ** 2;
    xy += (x[i] - mx) * (y[i] - my);
  }
  return xy / Math.sqrt(xx * yy);
}

/** The rank of each value, from 1; equal values have the mean of their ranks. */
export function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const found = new Array<number>(values.length);
  for (let first = 0; first < order.length; ) {
    let last = first;
    while (last + 1 < order.length && values[order[last + 1]] === values[order[first]]) last++;
    for (let i = first; i <= last; i++) found[order[i]] = (first + last) / 2 + 1;
    first = last + 1;
  }
  return found;
}
