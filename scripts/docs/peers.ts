/** @file A section of docs/benchmarks.md: static int8 beside onnxruntime.quantization. */
import type { PeerBench, PeerRow } from "../../bench/peers.ts";
import type { Runs } from "../../bench/record.ts";
import type { Interval } from "../../src/numeric/statistics.ts";
import * as format from "../../src/report/format.ts";
import { speedup } from "../../src/report/speed.ts";
import { latest, rowsByCpu, table } from "./page.ts";

/** A table per model: tersor in the first row, then the settings of the peer. */
export function peersSection(runs: Runs<PeerBench>): string[] {
  const { results } = latest(runs);
  return [
    "## Static int8 beside onnxruntime.quantization",
    "Same tensors, same calibration records; all are judged on the same others, none of which anybody calibrated with. Where the peer's histograms of all records do not fit in memory, its percentile settings calibrate on fewer: see the column. Drop and flips with their 95 % intervals. CPU ms: process-CPU milliseconds of a run, one thread, batch 1, all models in turn; speed-up: over the original, the median of the ratios within rounds with its 95 % interval. What it takes: CPU seconds of the whole quantizing process. `npm run bench:peers`.",
    ...results.flatMap(({ model }) => modelTable(model, runs)),
  ];
}

function modelTable(model: string, runs: Runs<PeerBench>): string[] {
  const of = ({ results }: PeerBench) => results.find((result) => result.model === model);
  const found = of(latest(runs)) as PeerBench["results"][number];
  const { accuracy } = found.original;
  const isLabelled = accuracy !== undefined;
  const quality = isLabelled
    ? ["accuracy", "drop, points", "flips"]
    : ["SQNR", "elements on the other side of 0.3"];
  const head = ["smaller", ...quality, "CPU ms", "speed-up", "takes, CPU s"];
  const originals = Object.entries(runs).flatMap(([cpu, run]) => {
    const result = of(run);
    return result ? [`${result.original.cpuMs.toFixed(3)} CPU ms (${cpu})`] : [];
  });
  const records = isLabelled
    ? `${accuracy.toFixed(2)} % of the ${found.judged} judged records`
    : `judged on ${found.judged} pages of drawn strokes, which have no labels`;
  return [
    `### ${model}`,
    `Original: ${records}; ${originals.join(", ")}.`,
    table(
      ["setting", "CPU", "calibrated on", ...head],
      rowsByCpu(runs, (run) => (of(run)?.settings ?? []).map((row) => cells(row, head.length))),
    ),
  ];
}

function cells(row: PeerRow, columns: number): string[] {
  const { setting, error, judged, latency, seconds } = row;
  if (error || !judged || !seconds)
    return [setting, "-", "fails", ...new Array<string>(columns - 1).fill("-")];
  const flips = `${judged.flips.toFixed(2)} %, ${ends(judged.flipsCi95)}`;
  const quality =
    judged.accuracy === undefined
      ? [judged.sqnr == null ? "exact" : `${judged.sqnr.toFixed(1)} dB`, flips]
      : [
          `${judged.accuracy.toFixed(2)} %`,
          `${format.points(judged.drop ?? null)}, ${ends(judged.dropCi95 ?? null)}`,
          flips,
        ];
  return [
    setting,
    String(row.records ?? "-"),
    format.ratio(row.smaller ?? null),
    ...quality,
    latency?.cpu.toFixed(3) ?? "-",
    latency ? speedup(latency.speedup.value, latency.speedup.ci95) : "-",
    seconds.cpu.toFixed(1),
  ];
}

/** An interval of percent or points: -0.91 to +0.38. */
const ends = (ci95: Interval | null): string =>
  ci95 ? ci95.map((end) => end.toFixed(2)).join(" to ") : "-";
