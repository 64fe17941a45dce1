/** @file Sections of docs/benchmarks.md: structured pruning, and the widths that kernels reward. */
import type { Runs } from "../../bench/record.ts";
import type { Interval } from "../../src/numeric/statistics.ts";
import * as format from "../../src/report/format.ts";
import { speedup } from "../../src/report/speed.ts";
import { code, latest, rowsByCpu, table } from "./page.ts";

interface Reached {
  readonly recipe: string;
  readonly metric: string;
  readonly original: number;
  readonly reached: number;
  readonly drop: number;
  readonly macs: number;
  readonly bytes: readonly [number, number];
  readonly parameters: readonly [number, number];
  readonly speed: {
    readonly batch: number;
    readonly ratio: number;
    readonly ci95: Interval | null;
  };
  readonly cpuSeconds: number;
}

interface Shrunk {
  readonly bytes: readonly [number, number];
  readonly macs: readonly [number, number];
  readonly refused: Readonly<Record<string, string>>;
}

export interface PruneBench {
  readonly distiller: Shrunk;
  readonly models: Readonly<Record<string, Shrunk>>;
  readonly [part: string]: unknown;
}

export function pruneSection(runs: Runs<PruneBench>): string[] {
  const partsOf = (bench: PruneBench) =>
    Object.entries(bench).flatMap(([name, part]) =>
      part !== null && typeof part === "object" && "speed" in part
        ? [[name, part as Reached] as const]
        : [],
    );
  const bench = latest(runs);
  return [
    "## Structured pruning",
    "Channels, neurons and blocks that are gone from the file. Everything is chosen on calibration or held-out records; accuracy is of the others. Speed-up: over the simplified original, process CPU time of one thread, median of the ratios within rounds that time both, with its 95 % interval. CPU seconds are those of the whole command, training and both measurements included. `npm run bench:prune`.",
    table(
      [
        "",
        "CPU",
        "accuracy",
        "drop, points",
        "MACs",
        "parameters",
        "file",
        "speed-up, 95 %",
        "CPU s",
      ],
      rowsByCpu(runs, (run) =>
        partsOf(run).map(([name, row]) => [
          name,
          `${row.original.toFixed(2)} -> ${row.reached.toFixed(2)} %`,
          row.drop.toFixed(2),
          `x ${row.macs.toFixed(3)}`,
          row.parameters.map((n) => format.count(n)).join(" -> "),
          row.bytes.map((n) => format.bytes(n)).join(" -> "),
          `${speedup(row.speed.ratio, row.speed.ci95)} (batch ${row.speed.batch})`,
          row.cpuSeconds.toFixed(0),
        ]),
      ),
    ),
    partsOf(bench)
      .map(([name, { recipe }]) => `- ${name}: ${code(recipe)}`)
      .join("\n"),
    "`prune-channels:ratio=0.3` without data; every product ran beside its original. What was refused is named by the command with its reason.",
    table(
      ["model", "file", "MACs", "kinds of refusal"],
      Object.entries(bench.models).map(([model, { bytes, macs, refused }]) => [
        model,
        bytes.map((n) => format.bytes(n)).join(" -> "),
        macs.map((n) => format.quantity(n)).join(" -> "),
        String(Object.keys(refused).length),
      ]),
    ),
  ];
}

export interface WidthsBench {
  readonly side: number;
  readonly depth: number;
  readonly cpuMs: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export function widthsSection(runs: Runs<WidthsBench>): string[] {
  const { side, depth } = latest(runs);
  const widths = [16, 20, 24, 28, 32, 40, 44, 48, 64].map(String);
  return [
    "## Widths that kernels reward",
    `Median process-CPU milliseconds of a run, batch 1, of ${depth} convolutions in a chain on ${side} x ${side}, by channels, one thread. From 16 channels on every float32 width takes about the time of the next multiple of 16; in int8 a depthwise layer off these multiples is slower than a wider one on them. \`npm run bench:widths\`.`,
    table(
      ["", "CPU", ...widths],
      rowsByCpu(runs, ({ cpuMs }) =>
        Object.entries(cpuMs).map(([kind, times]) => [
          kind,
          ...widths.map((width) => times[width].toFixed(3)),
        ]),
      ),
    ),
  ];
}
