/** @file docs/benchmarks.md: rotations and slices of hidden states, from bench/results/rotate.json. */
import type { Runs } from "../../bench/record.ts";
import type { RotateRow, RotateRun } from "../../bench/rotate.ts";
import { code, latest, table, thousands } from "./page.ts";

export function rotateSection(runs: Runs<RotateRun>): string[] {
  const { rows } = latest(runs);
  const scoreOf = ({ metric, value }: RotateRow): string =>
    metric === "perplexity" ? value.toFixed(3) : `${value.toFixed(2)} %`;
  return [
    "## Rotations and slices of hidden states",
    "Two small transformers, without training: few-bit weights with and without `rotate-weights` in front, and `slice-hidden` beside `factor-svd` and `prune-channels` (each to about the share of parameters that its options say; compare the columns). Scores are of the first step's model on a part of the data: perplexity, where less is better, and accuracy. `npm run bench:rotate`.",
    table(
      ["model", "recipe", "score", "parameters", "MACs", "bytes"],
      rows.map((row) => [
        row.model,
        row.recipe === "" ? "simplified only" : code(row.recipe),
        scoreOf(row),
        thousands(row.params),
        thousands(row.macs),
        thousands(row.bytes),
      ]),
    ),
  ];
}
