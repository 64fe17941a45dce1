/** @file Writes docs/benchmarks.md and the table in README.md from the files in bench/results/. */
import type { Result } from "../../src/measure/measurement.ts";
import type { Interval } from "../../src/numeric/statistics.ts";
import * as format from "../../src/report/format.ts";
import { speedup } from "../../src/report/speed.ts";
import { type CodecBench, codecSection, type ResnetBench, resnetSection } from "./coding.ts";
import { type FormsBench, formsSection } from "./forms.ts";
import { type LenetBench, lenetSection } from "./lenet.ts";
import { code, page, table } from "./page.ts";
import { type PruneBench, pruneSection, type WidthsBench, widthsSection } from "./pruning.ts";
import { type LearnBench, learnSection, type SpeedBench, speedSection } from "./training.ts";

interface RewriteRow {
  readonly model: string;
  readonly nodes: readonly [number, number];
  /** Of the original file, after upgrading the operator set, after rewriting; `cpuMs` likewise. */
  readonly bytes: readonly [number, number, number];
  readonly cpuMs: readonly [number, number, number];
  readonly speedup: number;
  readonly ci95: Interval;
  readonly error: number;
}

interface RewriteBench {
  readonly platform: string;
  readonly runtime: string;
  readonly rows: readonly RewriteRow[];
}

interface PeerSetting {
  readonly setting: string;
  readonly accuracy: number | null;
  readonly drop: number | null;
  readonly flips: number | null;
  readonly smaller: number | null;
  /** `speedup` is missing in results of before it was measured. */
  readonly latency: {
    readonly cpu: number;
    readonly speedup?: { readonly value: number; readonly ci95: Interval | null };
  } | null;
  readonly seconds: { readonly wall: number; readonly cpu: number };
}

interface PeerBench {
  readonly results: readonly {
    readonly model: string;
    readonly original: { readonly accuracy: number; readonly latency: { readonly cpu: number } };
    readonly settings: readonly PeerSetting[];
  }[];
}

/** The results of each bench; null for one that has not been run. */
interface Benches {
  readonly rewrite: RewriteBench | null;
  readonly peers: PeerBench | null;
  readonly train: SpeedBench | null;
  readonly learn: LearnBench | null;
  readonly lenet: LenetBench | null;
  readonly resnet20: ResnetBench | null;
  readonly codec: CodecBench | null;
  readonly prune: PruneBench | null;
  readonly widths: WidthsBench | null;
  readonly forms: FormsBench | null;
}

export function benchmarksPage(benches: Benches): string {
  const { rewrite, peers, train, learn, lenet, resnet20, codec, prune, widths, forms } = benches;
  return page(
    "# Benchmarks",
    "One machine's figures, as the benches wrote them into `bench/results/`. Run them on yours: `npm run bench:rewrite`, `bench:peers`, `bench:train`, `bench:learn`, `bench:lenet`, `bench:resnet20`, `bench:codec`, `bench:prune`, `bench:widths`, `bench:forms`; arguments choose parts, and `npm run docs` prints this page (most need `../shared/assets`; peers and train a Python environment, see `bench/peers/README.md`).",
    ...(rewrite ? rewriteSection(rewrite) : []),
    ...(peers ? peersSection(peers) : []),
    ...(train ? speedSection(train) : []),
    ...(learn ? learnSection(learn) : []),
    ...(lenet ? lenetSection(lenet) : []),
    ...(resnet20 ? resnetSection(resnet20) : []),
    ...(codec ? codecSection(codec) : []),
    ...(prune ? pruneSection(prune) : []),
    ...(widths ? widthsSection(widths) : []),
    ...(forms ? formsSection(forms) : []),
  );
}

function rewriteSection({ platform, runtime, rows }: RewriteBench): string[] {
  return [
    "## Lossless rewriting",
    `CPU ms: median process-CPU milliseconds of a run, one thread, batch 1; after: those before, divided by the speed-up. Speed-up: median of the ratios within rounds that time both, with its 95 % interval; no difference: that contains 1. Error relative to the output's range. ${platform}, ${runtime}.`,
    table(
      ["model", "nodes", "CPU ms before", "CPU ms after", "speed-up, 95 %", "error"],
      rows.map(({ model, nodes, cpuMs: [before], speedup: ratio, ci95, error }) => [
        model,
        nodes.join(" -> "),
        before.toFixed(3),
        (before / ratio).toFixed(3),
        speedup(ratio, ci95),
        error === 0 ? "0" : error.toExponential(0),
      ]),
    ),
  ];
}

/** A table per model: tersor in the first row, then the settings of the peer. */
function peersSection({ results }: PeerBench): string[] {
  return [
    "## Static int8 beside onnxruntime.quantization",
    "Same tensors, same calibration records, judged on the same others. CPU ms: process-CPU milliseconds of a run, one thread, batch 1, all models in turn. Speed-up: over the original, by CPU ms; an interval stands beside it where it was measured. Seconds are those of the whole process, on the wall clock and of CPU.",
    ...results.flatMap(({ model, original, settings }) => [
      `### ${model}`,
      `Original: ${original.accuracy.toFixed(2)} %, ${original.latency.cpu.toFixed(3)} CPU ms.`,
      table(
        [
          "setting",
          "smaller",
          "accuracy",
          "drop, points",
          "flips",
          "CPU ms",
          "speed-up",
          "wall s",
          "CPU s",
        ],
        settings.map((row) => [
          row.setting,
          format.ratio(row.smaller),
          row.accuracy === null ? "fails" : `${row.accuracy.toFixed(2)} %`,
          format.points(row.drop),
          row.flips === null ? "-" : `${row.flips.toFixed(2)} %`,
          row.latency?.cpu.toFixed(3) ?? "-",
          row.latency ? peerSpeedup(original.latency.cpu, row.latency) : "-",
          row.seconds.wall.toFixed(1),
          row.seconds.cpu.toFixed(1),
        ]),
      ),
    ]),
  ];
}

/** The paired speed-up, else the ratio of the two times. */
function peerSpeedup(original: number, latency: NonNullable<PeerSetting["latency"]>): string {
  const { value, ci95 } = latency.speedup ?? { value: original / latency.cpu, ci95: null };
  return speedup(value, ci95);
}

/** `bench/results/demo.json`: the survey.json of the demo. */
export interface DemoBench {
  readonly results: readonly Result[];
  readonly pareto: readonly string[];
}

export function demoTable({ results, pareto }: DemoBench): string {
  // Results of before intervals were measured have none.
  const hasIntervals = results.some((row) => row.delta.ci95?.infer);
  const rows = results.map((row, i) => [
    `${pareto.includes(row.recipe) ? "* " : ""}${code(row.recipe)}`,
    format.bytes(row.bytes.raw),
    format.ratio(row.alpha.bytes),
    format.bytes(row.bytes.brotli),
    i === 0
      ? "-"
      : hasIntervals
        ? speedup(row.delta.infer, row.delta.ci95.infer)
        : format.ratio(row.delta.infer),
    row.metric ? `${row.metric.value.toFixed(2)} %` : "-",
    format.points(row.metric?.drop ?? null),
    row.metric?.flips == null ? "-" : `${row.metric.flips.toFixed(2)} %`,
  ]);
  const speed = hasIntervals ? "speed-up, 95 %" : "speed-up";
  const head = ["recipe", "file", "smaller", "brotli", speed, "accuracy", "drop, points", "flips"];
  const [{ versions, latency }] = results;
  const same = hasIntervals ? ", with their 95 % interval; no difference: that contains 1" : "";
  const note = `\\* nothing else in the table is smaller, faster and as good at once. Speed-up: over the original, by process CPU time; median of the ratios within rounds that time both${same}; batch ${latency?.batch}, ${latency?.threads} thread, ${versions.platform}, ${versions.runtime}.`;
  return `${table(head, rows)}\n\n${note}`;
}
