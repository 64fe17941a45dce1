/** @file Collapse: a loss of quality after which a product is no compression of its model any more. */
import type { Metric } from "./measurement.ts";

/** Points of accuracy, dB of a PSNR or SNR, and percent of predictions changed. */
const POINTS = 10;
const DECIBELS = 6;
const FLIPS = 25;
/** Growth of a perplexity. */
const GROWTH = 1.5;

/** The warning for a metric that has collapsed; null for one that has not. */
export function collapseOf({ name, value, baseline, drop, flips }: Metric): string | null {
  const isLost =
    baseline === null || drop === null
      ? name === "fidelity" && flips !== null && flips >= FLIPS
      : name === "perplexity"
        ? value >= GROWTH * baseline
        : name !== "fidelity" && drop >= (name === "accuracy" ? POINTS : DECIBELS);
  if (!isLost) return null;
  const rounded = (x: number) => Number(x.toPrecision(4));
  const what =
    name === "fidelity"
      ? `${rounded(flips ?? 0)} % of the predictions changed`
      : `${name} ${rounded(baseline ?? 0)} -> ${rounded(value)}`;
  return `quality has collapsed (${what}), this is no compression of the model any more; tersor inspect --sensitivity --data ... names the layers that do it`;
}
