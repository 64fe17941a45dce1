/** @file Sections of docs/benchmarks.md: the coder beside brotli, ResNet-20's smallest files. */
import type { Runs } from "../../bench/record.ts";
import { code, latest, rowsByCpu, table, thousands } from "./page.ts";

interface CodecRow {
  readonly model: string;
  readonly kind: string;
  readonly weights: number;
  readonly brotli: number;
  readonly tersor: number;
  readonly toBrotli: number;
  readonly toEntropy: number | null;
  readonly encodeMBps: number;
  readonly decodeMBps: number;
}

export interface CodecBench {
  /** Sums over all models; `meanToBrotli` is the geometric mean of the models' ratios. */
  readonly totals: readonly (CodecRow & { readonly meanToBrotli?: number })[];
  readonly rows: readonly CodecRow[];
}

export interface ResnetBench {
  readonly rows: readonly {
    readonly name: string;
    readonly from: string | null;
    readonly recipe: string;
    readonly bytes: number;
    readonly rate: number;
    readonly accuracy: number;
    readonly drop: number;
  }[];
}

export function codecSection(runs: Runs<CodecBench>): string[] {
  const { totals } = latest(runs);
  const means = totals.flatMap(({ kind, meanToBrotli: mean }) =>
    mean === undefined ? [] : [`${kind} ${mean.toFixed(3)}`],
  );
  return [
    "## The coder beside brotli",
    "Weights of ten real models, `brotli -11` on each tensor; entropy: of order 0, tensor by tensor. Speed is fp32-equivalent megabytes per second of process CPU. `npm run bench:codec`.",
    table(
      [
        "weights",
        "CPU",
        "kind",
        "brotli",
        "tersor",
        "to brotli",
        "to entropy",
        "encode MB/s",
        "decode MB/s",
      ],
      rowsByCpu(runs, ({ totals, rows }) =>
        [...totals, ...rows].map((row) => [
          row.model,
          row.kind,
          thousands(row.brotli),
          thousands(row.tersor),
          row.toBrotli.toFixed(3),
          row.toEntropy?.toFixed(3) ?? "-",
          row.encodeMBps.toFixed(1),
          row.decodeMBps.toFixed(1),
        ]),
      ),
    ),
    means.length > 0
      ? `Half of all weights are one model's. To brotli, geometric mean over the models: ${means.join(", ")}.`
      : "",
  ];
}

export function resnetSection({ rows }: ResnetBench): string[] {
  return [
    "## ResNet-20's smallest files",
    "CIFAR-10, all 10,000 test images, from the unpacked `.tersor` file. `npm run bench:resnet20`.",
    table(
      ["", "bytes", "smaller", "accuracy", "drop, points", "recipe"],
      rows.map(({ name, from, recipe, bytes, rate, accuracy, drop }) => [
        name,
        thousands(bytes),
        `${rate}x`,
        `${accuracy.toFixed(2)} %`,
        drop.toFixed(2),
        `${from ? `from ${code(from)}: ` : ""}${code(recipe)}`,
      ]),
    ),
  ];
}
