/** @file The table of metrics in docs/results.md, from their declarations. */
import { metrics } from "../../src/measure/metrics/index.ts";
import type { MetricSpec } from "../../src/measure/metrics/spec.ts";
import { describeOptions } from "../../src/options.ts";
import { code, table } from "./page.ts";

export function metricsTable(): string {
  return [
    table(
      ["metric", "judges by", "outputs", "label", "better", "a point", "collapse"],
      [...metrics.values()].map((spec) => [
        code(spec.id),
        {
          labels: "labels",
          original: "the original's outputs",
          either: "labels, else the original's outputs",
        }[spec.needs],
        spec.reads.outputs,
        spec.reads.label,
        spec.higherIsBetter ? "higher" : "lower",
        ...pointOf(spec),
      ]),
    ),
    ...[...metrics.values()].map(({ id, title, doc, cite, options }) => {
      const choices = describeOptions(options).map(
        ({ name, description, default: usual }) =>
          `  - \`${name}\`${usual === null ? "" : ` (${usual})`}: ${description}`,
      );
      return [
        `- **${code(id)}**${title.toLowerCase() === id ? "" : `, ${title.toLowerCase()}`}. ${doc}${cite ? ` (${cite})` : ""}`,
        ...choices,
      ].join("\n");
    }),
  ]
    .join("\n\n")
    .replace(/\n\n- \*\*/g, "\n- **")
    .replace(/\|\n- \*\*/, "|\n\n- **");
}

/** The drop that counts like a point of accuracy, and the one that is a collapse. */
function pointOf({ unit, scale }: MetricSpec): [string, string] {
  const { point, collapse, relative } = scale;
  if (relative) return [`${relative.point} %`, `${relative.collapse} %`];
  if (!Number.isFinite(collapse)) return ["", ""]; // it has no drop
  const amount = (drop: number) => `${drop} ${unit.drop.replace("points", "%")}`.trimEnd();
  return [amount(point), amount(collapse)];
}
