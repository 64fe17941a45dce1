/** @file What a metric lost, on a scale on which a point means about the same for every metric. */
import { aboutOf } from "./about.ts";
import type { Metric } from "./measurement.ts";
import { metrics } from "./metrics/index.ts";

/** A loss, how much of it counts like one point of accuracy, and from where on all is lost. */
export interface Loss {
  readonly value: number;
  readonly point: number;
  readonly collapse: number;
  /** "points", "dB of psnr", "% of perplexity" ... */
  readonly unit: string;
}

/** Of a user's own metric, a percent of the baseline counts like a point. */
const ownScale = { point: 1, collapse: 10 };

/** The drop of a metric as a loss; null where there is no drop. */
export function lossOf(metric: Pick<Metric, "name" | "about" | "drop" | "baseline">): Loss | null {
  const { name, drop, baseline } = metric;
  const scale = metrics.get(name)?.scale ?? null;
  const relative = scale ? scale.relative : ownScale;
  if (drop === null) return null;
  if (relative) {
    if (!baseline) return null;
    return { ...relative, value: (100 * drop) / Math.abs(baseline), unit: `% of ${name}` };
  }
  const { dropUnit } = aboutOf(metric);
  const unit = dropUnit === "points" ? dropUnit : `${dropUnit} of ${name}`.trimStart();
  return { point: scale!.point, collapse: scale!.collapse, value: drop, unit };
}
