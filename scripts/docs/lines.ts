/** @file docs/benchmarks.md: 1-D convolutions as 2-D ones, from bench/results/lines.json. */
import type { LineRow } from "../../bench/lines.ts";
import type { Runs } from "../../bench/record.ts";
import { speedup } from "../../src/report/speed.ts";
import { code, latest, table } from "./page.ts";

export interface LinesBench {
  readonly command: string;
  readonly rows: readonly LineRow[];
}

export function linesSection(runs: Runs<LinesBench>): string[] {
  const { command, rows } = latest(runs);
  const nameOf = ({ channels, isDepthwise, taps, stride, length }: LineRow): string =>
    `${channels} channels${isDepthwise ? ", depthwise" : ""}, ${taps} taps${stride > 1 ? `, stride ${stride}` : ""}, ${length} positions`;
  const names = [...new Set(rows.map(nameOf))];
  const engines = [...new Set(rows.map(({ runtime }) => runtime))];
  const cellOf = (name: string, engine: string): string => {
    const row = rows.find((own) => nameOf(own) === name && own.runtime === engine);
    return row ? speedup(row.speedup, row.ci95) : "-";
  };
  return [
    "## 1-D convolutions as 2-D ones",
    `How many times as fast the same sums are as a 2-D convolution with one row (${code("conv-1d-to-2d")}): one layer, one thread, timed in turn. The method keeps what makes the whole model faster. ${code(command)}.`,
    table(
      ["layer", ...engines],
      names.map((name) => [name, ...engines.map((engine) => cellOf(name, engine))]),
    ),
  ];
}
