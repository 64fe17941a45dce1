/** @file SI-SDR: the scale-invariant signal-to-distortion ratio of sound. */
import { judgeMean, targetOf } from "../targets.ts";
import { defineMetric } from "./spec.ts";

export const siSdr = defineMetric({
  id: "si-sdr",
  title: "Scale-invariant signal-to-distortion ratio",
  doc: "Mean over records of 10 log10(|a t|^2 / |a t - y|^2), a = <y, t> / <t, t>, with targets t and outputs y; the last axis is time, of several channels the mean. How loud an output is does not count.",
  cite: "Le Roux, Wisdom, Erdogan, Hershey 2019, arXiv 1811.02508, eq. 3",
  higherIsBetter: true,
  unit: { value: "dB", drop: "dB" },
  scale: { point: 1, collapse: 6 },
  needs: "either",
  reads: { outputs: "sound [N, ..., T]", label: "the same shape; none: the original's sound" },
  fits(batch) {
    const target = targetOf(batch);
    if (typeof target === "string") return target;
    const length = target.shape.at(-1) ?? 1;
    if (length < 2) return `[${target.shape}] has no axis of time at its end`;
    return {
      outputs: [target.output],
      against: target.against,
      judge: () =>
        judgeMean(target, ({ values, shape }, expected) => {
          const time = shape.at(-1) ?? values.length;
          let sum = 0;
          for (let at = 0; at < values.length; at += time) {
            sum += distortionRatio(
              values.subarray(at, at + time),
              expected.subarray(at, at + time),
            );
          }
          return (sum * time) / values.length;
        }),
    };
  },
});

/** SI-SDR of an estimate, in dB; Infinity where it is a multiple of the target. */
export function distortionRatio(estimate: ArrayLike<number>, target: ArrayLike<number>): number {
  let [dot, power] = [0, 0];
  for (let i = 0; i < target.length; i++) {
    dot += estimate[i] * target[i];
    power += target[i] ** 2;
  }
  const scale = power > 0 ? dot / power : 0;
  let noise = 0;
  for (let i = 0; i < target.length; i++) noise += (scale * target[i] - estimate[i]) ** 2;
  return 10 * Math.log10((scale ** 2 * power) / noise);
}
