/** @file PSNR: the peak signal-to-noise ratio of pictures. */
import { isPictureShape, type Peak, peakFinder } from "../pictures.ts";
import { meanVerdict, noiseOf, type Target, targetOf } from "../targets.ts";
import { isTarget } from "../task.ts";
import { judgeRatio, snr } from "./snr.ts";
import { defineMetric, type Judge } from "./spec.ts";

export const psnr = defineMetric({
  id: "psnr",
  title: "Peak signal-to-noise ratio",
  doc: "Mean over pictures of 10 log10(peak^2 / mean (t - y)^2). The peak is 1 for targets within [0, 1] and 255 for those within [0, 255] and beyond 127; targets of another range, whose peak is not known, are judged by the SNR instead.",
  higherIsBetter: true,
  unit: { value: "dB", drop: "dB" },
  scale: { point: 1, collapse: 6 },
  needs: "either",
  reads: { outputs: "pictures [N, C, H, W] or [N, H, W, C]", label: "the same shape" },
  fits(batch) {
    const target = targetOf(batch);
    if (typeof target === "string") return target;
    if (!isPictureShape(target.shape)) {
      return `[${target.shape}] is no shape of pictures: [N, C, H, W] or [N, H, W, C] with 1, 3 or 4 channels`;
    }
    return {
      outputs: [target.output],
      against: target.against,
      judge: () => judgePictures(target),
    };
  },
  isGuessed: isTarget,
});

function judgePictures(target: Target): Judge {
  const { output, against } = target;
  const peaks = peakFinder();
  const ratio = judgeRatio(target);
  const records: { size: number; noise: number; original: number | null }[] = [];
  return {
    add(item) {
      const original = item.original?.[output]?.values ?? null;
      const expected = against === "labels" ? item.label?.values : original;
      if (!expected) return false;
      peaks.add(expected);
      const noise = noiseOf(item.outputs[output].values, expected);
      const size = expected.length;
      records.push({ size, noise, original: original && noiseOf(original, expected) });
      return ratio.add(item);
    },
    finish() {
      const peak: Peak | null = peaks.peak();
      const verdict = ratio.finish();
      if (peak === null) return { ...verdict, instead: snr };
      const decibels = (noise: number, size: number) => 10 * Math.log10((peak ** 2 * size) / noise);
      const own = records.map(({ noise, size }) => decibels(noise, size));
      const before = records.flatMap(({ original, size }) =>
        original === null ? [] : [decibels(original, size)],
      );
      return { ...verdict, ...meanVerdict(own, before) };
    },
  };
}
