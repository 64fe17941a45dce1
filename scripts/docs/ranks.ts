/** @file docs/benchmarks.md: ranks of whole networks, from bench/results/ranks.json. */
import type { RanksRow } from "../../bench/ranks.ts";
import * as format from "../../src/report/format.ts";
import { code, table, thousands } from "./page.ts";

export interface RanksBench {
  readonly rows: readonly RanksRow[];
}

export function ranksSection({ rows }: RanksBench): string[] {
  const scoreOf = ({ metric, value }: RanksRow): string =>
    metric === "perplexity" ? value.toFixed(2) : `${value.toFixed(2)} %`;
  const flipsOf = ({ flips }: RanksRow): string => (flips === null ? "-" : `${flips.toFixed(1)} %`);
  const models = [...new Set(rows.map(({ model }) => model))];
  const alone = rows
    .filter(({ recipe, energy }) => energy !== null && !recipe.includes("budget="))
    .sort(
      (a, b) =>
        models.indexOf(a.model) - models.indexOf(b.model) || Number(b.energy) - Number(a.energy),
    );
  const pairs = alone.flatMap((row) => {
    const pooled = rows.find(
      ({ model, energy, recipe }) =>
        model === row.model && energy === row.energy && recipe.includes("budget="),
    );
    return pooled ? [[row, pooled] as const] : [];
  });
  const tables = rows.filter(({ energy }) => energy === null);
  return [
    "## Low rank: ranks of each layer by its energy, and of the whole network by data",
    "`factor-svd:rescue=false` without training. By energy: each layer keeps that share of its squared singular values. Pooled: the ranks of all layers together that move the network's outputs least, of inputs whitened by calibration records, last factors refitted, with at most as many parameters. Drop in points, of a perplexity its rise; flips: records whose answer changed. `npm run bench:ranks`.",
    table(
      [
        "model",
        "energy",
        "parameters, original",
        "by energy",
        "metric",
        "drop",
        "flips",
        "pooled",
        "metric",
        "drop",
        "flips",
      ],
      pairs.map(([own, pooled]) => [
        own.model,
        String(own.energy),
        thousands(own.originalParams),
        ...[own, pooled].flatMap((row) => [
          thousands(row.params),
          scoreOf(row),
          format.points(row.drop),
          flipsOf(row),
        ]),
      ]),
    ),
    "An embedding table that is 87 % of its model, by low rank, by hashing and in 4 bits, without training:",
    table(
      ["recipe", "parameters", "file", "smaller", "metric", "drop", "flips"],
      tables.map((row) => [
        code(row.recipe),
        thousands(row.params),
        format.bytes(row.bytes),
        format.ratio(row.originalBytes / row.bytes),
        scoreOf(row),
        format.points(row.drop),
        flipsOf(row),
      ]),
    ),
  ];
}
