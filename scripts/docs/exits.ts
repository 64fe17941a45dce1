/** @file docs/benchmarks.md: early exit and cascade, from bench/results/exits.json. */
import type { ExitsBench, ExitsRow } from "../../bench/exits.ts";
import type { Runs } from "../../bench/record.ts";
import { speedup } from "../../src/report/speed.ts";
import { code, latest, table, thousands } from "./page.ts";

export function exitsSection(runs: Runs<ExitsBench>): string[] {
  const { rows, timed, records } = latest(runs);
  const found = Object.entries(rows).sort(([a], [b]) => (a < b ? -1 : 1));
  const [[, { accuracy }]] = found;
  const cpu = Object.keys(runs).at(-1);
  return [
    "## Early exit, cascade, gates, coarse to fine",
    `ResNet-20 on CIFAR-10 (JPEG, ${accuracy.original.toFixed(2)} %), whose easy records a smaller classifier answers. Classifiers learn from the network's answers on the 25,000 training records but a tenth, by which the threshold is found (answers that may change: 1 %, or as the row says); the ${thousands(records)} test records are looked at once for each row. "shortcuts": with \`project-shortcuts\` behind it, which alone has a row as well. Speed-up: batch 1, one thread, ${timed} test records one after the other with both models in turn, CPU time; CPU seconds of training and calibration; gates and coarse-to-fine train the whole network, and have no exit; "early-exit, ..." goes on from the product of early-exit, whose seconds come on top. ${code("npm run bench:exits")}; ${cpu}.`,
    table(
      ["row", "answered early", "accuracy", "drop, points", "answers changed", "speed-up", "CPU s"],
      found.map(([name, row]) => [
        name,
        row.taken > 0
          ? `${(100 * row.taken).toFixed(1)} % (${(100 * row.timedTaken).toFixed(1)} % of those timed)`
          : "-",
        `${row.accuracy.product.toFixed(2)} %`,
        (row.accuracy.original - row.accuracy.product).toFixed(2),
        `${row.changed.toFixed(2)} %`,
        speedup(row.speedup, row.ci95),
        String(row.cpuSeconds),
      ]),
    ),
    ...found
      .filter(([, { from }]) => !from)
      .map(([name, row]) => `${name}: ${[planOf(row), ...row.told].join(". ")}.`),
  ];
}

function planOf({ small, recipe, alone }: ExitsRow): string {
  const first = small
    ? `${code(small.net)} with ${code(`train:${small.options}`)}, alone ${alone?.toFixed(2)} %, then `
    : "";
  return `${first}${code(recipe)}`;
}
