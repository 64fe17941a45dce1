/** @file The files of a folder for transformers.js, as a Markdown table for a model card and as JSON. */

import { aboutOf } from "../measure/about.ts";
import { type DtypeName, dtypes } from "../recipe/layout/dtypes.ts";
import { type Device, devices, type Speed, type Variant } from "../recipe/layout/variants.ts";
import * as format from "./format.ts";
import { jsonText } from "./json.ts";
import { escapeMarkdown, table } from "./markdown.ts";
import { speedup } from "./speed.ts";

/** One file, with its external data. */
export interface LayoutFile extends Omit<Variant, "model"> {
  readonly file: string;
  readonly model: string;
  /** Bytes of all its parts. */
  readonly bytes: number;
  readonly shards: number;
}

/** A dtype that was not made. */
export interface LayoutRefusal {
  readonly file: string;
  readonly dtype: DtypeName;
  readonly why: string;
}

export interface LayoutReport {
  readonly folder: string;
  readonly files: readonly LayoutFile[];
  readonly refused: readonly LayoutRefusal[];
  readonly warnings: readonly string[];
  /** Where it was timed. */
  readonly platform: string;
}

const titles: Readonly<Record<Device, string>> = { cpu: "native CPU", wasm: "WebAssembly" };

/** The table: file, dtype, bytes, error or metric, speed for each device; notes below it. */
export function layoutMarkdown({ files, refused, platform }: LayoutReport): string {
  const timed = (Object.keys(devices) as Device[]).filter((device) =>
    files.some(({ speed }) => speed[device] !== null),
  );
  const metric = files.find(({ metric }) => metric)?.metric ?? null;
  const header = [
    ...["file", "dtype", "size", "SQNR, dB"],
    ...(metric ? [metric.name] : []),
    ...timed.map((device) => `${titles[device]}, ms`),
  ];
  const rows = files.map((file) => [
    `\`${file.file}\``,
    file.dtype,
    format.bytes(file.bytes),
    sqnrText(file),
    ...(metric ? [format.precise(file.metric?.value ?? null)] : []),
    ...timed.map((device) => speedText(file.speed[device])),
  ]);
  const align = header.map((_, i) => (i < 2 ? "left" : "right") as "left" | "right");
  const notes = [
    "SQNR: the float file's outputs against the error of this file's, in the worst output.",
    ...(timed.length > 0
      ? [
          `Times: median CPU ms of one run, one thread, ${escapeMarkdown(platform)}; decoders with a cache: one word. In brackets: speed-up over the float file. WebGPU and phones are not measured here.`,
        ]
      : []),
    ...[...new Set(files.map(({ dtype }) => dtype))].map(
      (dtype) => `${dtype}: ${dtypes[dtype].doc}.`,
    ),
    ...refused.map(({ file, why }) => `Not made: ${file} (${escapeMarkdown(why)}).`),
  ];
  const list = notes.map((note) => `- ${note}`).join("\n");
  return `${table(header, align, rows)}\n\n${list}\n`;
}

function sqnrText({ dtype, sqnr }: LayoutFile): string {
  if (dtype === "fp32") return "";
  if (sqnr === Number.NEGATIVE_INFINITY) return "not finite";
  return sqnr === Number.POSITIVE_INFINITY ? "equal" : format.fixed(sqnr, 1);
}

function speedText(speed: Speed | string | null): string {
  if (speed === null) return "-";
  if (typeof speed === "string") return "does not open";
  const { latency, ratio, ci95 } = speed;
  if (latency === null) return "-";
  const factor = ratio === null ? "" : ` (${speedup(ratio, ci95)})`;
  return `${format.milliseconds(latency.median)}${factor}`;
}

/** One object: files with their figures, refusals, warnings. */
export function layoutJson(report: LayoutReport): string {
  const { folder, files, refused, warnings } = report;
  const finite = (n: number | null): number | null => (n !== null && Number.isFinite(n) ? n : null);
  const speedJson = (speed: Speed | string | null) => {
    if (speed === null || typeof speed === "string") return { error: speed, median: null };
    const { latency, ratio, ci95 } = speed;
    if (latency === null) return { error: null, median: null };
    const { median, p90, runtime, threads, n } = latency;
    return { error: null, median, p90, runtime, threads, n, ratio, ci95: ci95 ? [...ci95] : null };
  };
  return jsonText({
    command: "compress",
    layout: "transformers.js",
    folder,
    files: files.map(({ file, model, dtype, recipe, bytes, shards, sqnr, metric, ...row }) => ({
      ...{ file, model, dtype, recipe, bytes, shards, sqnr: finite(sqnr) },
      metric: metric && {
        ...{ name: metric.name, value: finite(metric.value), baseline: finite(metric.baseline) },
        ...{ drop: finite(metric.drop), about: { ...aboutOf(metric) } },
      },
      speed: { cpu: speedJson(row.speed.cpu), wasm: speedJson(row.speed.wasm) },
      warnings: [...row.warnings],
    })),
    refused: refused.map((one) => ({ ...one })),
    warnings: [...warnings],
  } as never);
}
