/** @file Collapse: a loss of quality after which a product is no compression of its model any more. */
import { lossOf } from "./loss.ts";
import type { Metric } from "./measurement.ts";

/** Percent of predictions changed, where nothing tells how many of them are worse for it. */
const FLIPS = 25;

/** The warning for a metric that has collapsed; null for one that has not. */
export function collapseOf(metric: Metric): string | null {
  const { name, value, baseline, drop, flips, words } = metric;
  const loss = lossOf(metric);
  const isJudged = baseline !== null && drop !== null && loss !== null;
  const isLost = isJudged ? loss.value >= loss.collapse : flips !== null && flips >= FLIPS;
  if (!isLost) return null;
  const rounded = (x: number) => Number(x.toPrecision(4));
  const what = isJudged
    ? `${name} ${rounded(baseline)} -> ${rounded(value)}${words ? `: ${words}` : ""}`
    : `${rounded(flips ?? 0)} % of the predictions changed`;
  return `quality has collapsed (${what}), this is no compression of the model any more; tersor inspect --sensitivity --data ... names the layers that do it`;
}
