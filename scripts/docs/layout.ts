/** @file docs/benchmarks.md: dtypes of transformers.js by model and target, from results/layout.json. */
import type { LayoutBench, LayoutRow } from "../../bench/layout.ts";
import type { Runs } from "../../bench/record.ts";
import { dtypes } from "../../src/recipe/layout/dtypes.ts";
import * as format from "../../src/report/format.ts";
import { code, latest, table } from "./page.ts";

/** A table for each model: a row for each file. */
export function layoutSection(runs: Runs<LayoutBench>): string[] {
  const { setting, models } = latest(runs);
  const used = new Set(Object.values(models).flatMap(({ files }) => files.map((f) => f.dtype)));
  const docs = Object.entries(dtypes).filter(([name]) => used.has(name));
  return [
    "## Dtypes for transformers.js",
    `What \`tersor compress FOLDER --layout transformers.js\` makes of five models: bytes of each file, the signal-to-noise ratio of its worst output against the float file's, and median CPU ms of one run with the speed-up over the float file, native and in onnxruntime-web's WebAssembly (${setting}; a decoder with a cache: one word). Weights of the first four are drawn, not trained. Measured beside other work: times below 2 ms spread by up to a factor of 2. \`npm run bench:layout\`.`,
    docs.map(([name, { doc }]) => `- ${code(name)}: ${doc}`).join("\n"),
    ...Object.values(models).flatMap(({ title, files }) => [
      `${title[0].toUpperCase()}${title.slice(1)}:`,
      modelTable(files),
    ]),
    `${Object.keys(runs).at(-1)}.`,
  ];
}

function modelTable(files: readonly LayoutRow[]): string {
  const metric = files.find(({ metric }) => metric)?.metric?.name;
  const time = ({ median, ratio = null }: LayoutRow["speed"]["cpu"]): string =>
    `${format.milliseconds(median)}${ratio === null ? "" : ` (${ratio.toFixed(2)}x)`}`;
  return table(
    ["file", "size", "SQNR, dB", ...(metric ? [metric] : []), "native, ms", "wasm, ms"],
    files.map(({ file, dtype, bytes, sqnr, metric: own, speed }) => [
      code(file),
      format.bytes(bytes),
      dtype === "fp32" ? "" : format.fixed(sqnr, 1),
      ...(metric ? [format.fixed(own?.value)] : []),
      time(speed.cpu),
      time(speed.wasm),
    ]),
  );
}
