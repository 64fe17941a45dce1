/** @file docs/benchmarks.md: searches for targets, from bench/results/search.json. */
import type { Runs } from "../../bench/record.ts";
import type { SearchBench } from "../../bench/search.ts";
import { latest, table } from "./page.ts";

export function searchSection(runs: Runs<SearchBench>): string[] {
  const { rows, volumes } = latest(runs);
  const found = Object.values(rows);
  const both = Object.values(volumes);
  return [
    "## Search",
    `\`tersor search\` for a target within a budget of CPU time, records for calibration and training apart from those that judge. \`npm run bench:search\`.`,
    table(
      [
        "model",
        "target",
        "CPU minutes",
        "best recipe",
        "bytes",
        "drop",
        "speed-up",
        "met",
        "measured, screened",
      ],
      found.map((row) => [
        row.model,
        row.target,
        String(row.minutes),
        `\`${row.recipe}\``,
        row.bytes.toLocaleString("en"),
        row.drop === null ? "-" : row.drop.toFixed(2),
        row.speedup === null ? "-" : `${row.speedup.toFixed(2)}x`,
        row.missed.length === 0 ? "yes" : row.missed.join("; "),
        `${row.measured}, ${row.screened}`,
      ]),
    ),
    ...(both.length > 0
      ? [
          "Without a target, beside recipes drawn at random, at equal budgets and without training: the hypervolume, which is the share of the area (ln bytes to a hundredth, ten points of drop) that the rows dominate.",
          table(
            ["model", "seed", "CPU minutes", "search", "random"],
            both.map(({ model, seed, minutes, evolve, random }) => [
              ...[model, String(seed), String(minutes), evolve.toFixed(3), random.toFixed(3)],
            ]),
          ),
        ]
      : []),
    `${Object.keys(runs).at(-1)}.`,
  ];
}
