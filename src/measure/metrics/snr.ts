/** @file SNR: the signal-to-noise ratio of outputs that have targets of their own shape. */
import { type Interval, ratioOfSums } from "../../numeric/statistics.ts";
import { noiseOf, type Target, targetOf } from "../targets.ts";
import { isTarget } from "../task.ts";
import { defineMetric, type Judge } from "./spec.ts";

export const snr = defineMetric({
  id: "snr",
  title: "Signal-to-noise ratio",
  doc: "10 log10(sum t^2 / sum (t - y)^2) over all records, with targets t and outputs y; the interval by the delta method.",
  higherIsBetter: true,
  unit: { value: "dB", drop: "dB" },
  scale: { point: 1, collapse: 6 },
  needs: "either",
  reads: { outputs: "anything", label: "targets of the output's shape" },
  fits(batch) {
    const target = targetOf(batch);
    if (typeof target === "string") return target;
    const { output, against } = target;
    return { outputs: [output], against, judge: () => judgeRatio(target) };
  },
  isGuessed: isTarget,
});

/** Judges by the ratio of signal and noise, in dB. */
export function judgeRatio({ output, against }: Target): Judge {
  const signals: number[] = [];
  const noises: number[] = [];
  const originals: number[] = [];
  let broken = 0;
  return {
    add({ outputs, label, original }) {
      const before = original?.[output]?.values;
      const target = against === "labels" ? label?.values : before;
      if (!target) return false;
      let signal = 0;
      for (let i = 0; i < target.length; i++) signal += target[i] ** 2;
      const noise = noiseOf(outputs[output].values, target);
      signals.push(signal);
      noises.push(noise);
      if (before) originals.push(noiseOf(before, target));
      if (Number.isFinite(noise)) return false;
      broken++;
      return true;
    },
    finish() {
      const isPaired = originals.length === noises.length;
      const { value, ci95 } = decibels(noises, signals);
      const dropCi95 = isPaired ? decibels(noises, originals).ci95 : null;
      const interval: Interval | null = ci95 && [-ci95[1], -ci95[0]];
      const predictions = noises.length;
      return { value: -value, ci95: interval, dropCi95, predictions, broken };
    },
  };
}

/** 10 log10 r, r = sum y / sum x, with its interval by the delta method: d log r = dr / r. */
function decibels(y: readonly number[], x: readonly number[]) {
  const { value: r, ci95 } = ratioOfSums(y, x);
  const value = 10 * Math.log10(r);
  const half = ci95 && ((10 / Math.LN10) * (ci95[1] - ci95[0])) / 2 / r;
  const interval: Interval | null = half !== null && r > 0 ? [value - half, value + half] : null;
  return { value, ci95: interval };
}
