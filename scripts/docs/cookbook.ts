/** @file Writes docs/cookbook.md: how real models of several kinds are fed, judged and compressed. */
import type { CookbookDish } from "../../bench/cookbook.ts";
import type { Runs } from "../../bench/record.ts";
import * as format from "../../src/report/format.ts";
import { speedup } from "../../src/report/speed.ts";
import { code, latest, page, table } from "./page.ts";

export function cookbookPage(runs: Runs<Readonly<Record<string, CookbookDish>>> | null): string {
  return page(
    "# Cookbook",
    "Models of several kinds, each with the flags that feed it, what judges it, and what a few recipes gave. The commands were run as they stand here, but for the folders of their files: `npm run bench:cookbook`. Ways to feed others are in [data.md](data.md), what the figures mean in [results.md](results.md). Speed-ups are over the original, in process CPU time of one thread, with their 95 % interval; they are measured on a machine with other work.",
    ...Object.values(runs ? latest(runs) : {}).flatMap(dishSection),
  );
}

function dishSection({ title, text, command, rows }: CookbookDish): string[] {
  const first = rows.find(({ result }) => result?.metric)?.result?.metric;
  const cells = rows.map(({ recipe, result, reason }) => {
    if (!result) return [code(recipe), reason ?? "", "", "", ""];
    const { bytes, alpha, delta, metric, skipped } = result;
    const smaller = recipe === "pack" ? bytes.packed : bytes.raw;
    const left = skipped.length === 0 ? "" : `, ${format.plural(skipped.length, "node")} left`;
    return [
      code(recipe),
      `${format.bytes(smaller)}${left}`,
      format.ratio(alpha.bytes),
      speedup(delta.infer, delta.ci95.infer),
      metric ? (metric.value === null ? "equal" : format.metricValue(metric, metric.value)) : "-",
    ];
  });
  const value =
    first?.baseline == null
      ? ""
      : ` The original: ${format.metricValue(first, first.baseline)} on ${first.n} records.`;
  return [
    `## ${title}`,
    `${text}${value}`,
    `\`\`\`\n${command}\n\`\`\``,
    table(["recipe", "file", "smaller", "speed-up", first?.name ?? "quality"], cells),
  ];
}
