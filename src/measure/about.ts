/** @file How the figures of a metric are read and printed: unit, decimals, which way is better. */
import type { About, Metric } from "./measurement.ts";
import { metrics } from "./metrics/index.ts";
import type { MetricSpec } from "./metrics/spec.ts";

/** What a report needs to know of a metric. */
export const aboutSpec = ({ higherIsBetter, unit, digits = 2, scale }: MetricSpec): About => ({
  higherIsBetter,
  unit: unit.value,
  dropUnit: unit.drop,
  digits,
  point: scale.point,
});

const plain: About = { higherIsBetter: true, unit: "", dropUnit: "", digits: 2, point: 1 };

/** How the figures of a measured metric are read. */
export function aboutOf({ name, about }: Pick<Metric, "name" | "about">): About {
  const spec = metrics.get(name);
  return about ?? (spec ? aboutSpec(spec) : plain);
}

/** A metric's value, told apart by its unit or else by its name: "98.91 %", "perplexity 4.74". */
export function metricText(metric: Pick<Metric, "name" | "about" | "value">): string {
  const { unit, digits } = aboutOf(metric);
  const value = metric.value.toFixed(digits);
  return unit ? `${value} ${unit}` : `${metric.name} ${value}`;
}
