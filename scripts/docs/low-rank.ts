/** @file docs/benchmarks.md: low rank on three networks, from bench/results/low-rank.json. */
import type { LowRankRow } from "../../bench/low-rank.ts";
import type { Runs } from "../../bench/record.ts";
import { code, latest, table } from "./page.ts";

export interface LowRankBench {
  readonly rows: Readonly<Record<string, Readonly<Record<string, LowRankRow>>>>;
}

/** The survey's own table (arXiv 1710.09282, ImageNet): top-5 accuracy, speed-up, compression rate. */
const published = [
  ["AlexNet", "original", "80.03 %", "1", "1"],
  ["AlexNet", "BN", "80.56 %", "1.09", "4.94"],
  ["AlexNet", "CP", "79.66 %", "1.82", "5.00"],
  ["VGG-16", "original", "90.60 %", "1", "1"],
  ["VGG-16", "BN", "90.47 %", "1.53", "2.72"],
  ["VGG-16", "CP", "90.31 %", "2.05", "2.75"],
  ["GoogLeNet", "original", "92.21 %", "1", "1"],
  ["GoogLeNet", "BN", "91.88 %", "1.08", "2.79"],
  ["GoogLeNet", "CP", "91.79 %", "1.20", "2.84"],
];

export function lowRankSection(runs: Runs<LowRankBench>): string[] {
  const { rows } = latest(runs);
  const cpu = Object.keys(runs).at(-1) as string;
  const percent = (x: number): string => `${x.toFixed(2)} %`;
  const lines = Object.entries(rows).flatMap(([net, methods]) => {
    const [first] = Object.values(methods);
    const original = [net, "original", "", percent(first.accuracy.original), "1", "1", "", ""];
    const others = Object.entries(methods).map(([method, row]) => [
      net,
      method,
      percent(row.accuracy.factored),
      percent(row.accuracy.trained),
      `${row.speedup}${row.ci95 ? ` (${row.ci95.join(" to ")})` : ""}`,
      String(row.rate.parameters),
      String(row.cpuSeconds),
      `${code(row.recipe)}, ${code(`train:${row.train}`)}`,
    ]);
    return [original, ...others];
  });
  return [
    "## Low rank: the survey's table",
    `CIFAR-10 as JPEG. Ranks are chosen on training records for the whole network at one budget, then every weight is trained a little with the original as teacher. Speed-ups of one thread over the simplified original, with their 95 % intervals; the rate is that of parameters; CPU seconds are those of the whole row, ranks, training and measurements. ${cpu}.`,
    table(["net", "method", "factored", "trained", "speed-up", "rate", "CPU s", "recipe"], lines),
    "The rows that the survey prints, ImageNet, top-5 accuracy:",
    table(["net", "method", "top-5", "speed-up", "rate"], published),
  ];
}
