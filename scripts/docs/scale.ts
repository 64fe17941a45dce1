/** @file docs/benchmarks.md: CPU and memory of commands on large models, from bench/results/scale.json. */
import type { Runs } from "../../bench/record.ts";
import type { ScaleRow } from "../../bench/scale.ts";
import * as format from "../../src/report/format.ts";
import { latest, table } from "./page.ts";

export interface ScaleBench {
  readonly rows: readonly ScaleRow[];
}

/** Which command of ours does the job of which of onnxruntime.quantization. */
const pairs: Readonly<Record<string, string>> = {
  "peer int4": "int4",
  "peer dynamic": "dynamic",
  "peer static": "static",
};

export function scaleSection(runs: Runs<ScaleBench>): string[] {
  const { rows } = latest(runs);
  const own = rows.filter(({ command }) => !(command in pairs));
  const peers = rows.flatMap((peer) => {
    const ours = rows.find(
      ({ model, command }) => model === peer.model && command === pairs[peer.command],
    );
    return ours && !ours.failed && !peer.failed ? [{ ours, peer }] : [];
  });
  return [
    "## Scale: CPU and memory of each command",
    "Each command is a process of its own with `--no-measure`; CPU is user and system time, peak is resident memory. The weights are drawn at random: figures tell of size, not of quality. int4: `quantize-weights:bits=4,block=32,kernel=integer`, scales from the largest weight. pack: of the int4 product. copy: a script that reads the model and writes as many bytes as the int4 product has. decoder-2-layers is decoder-6gb cut to two layers. `npm run bench:scale`.",
    table(
      ["model", "size", "command", "CPU, s", "wall, s", "peak, MB", "written"],
      own.map(({ model, bytes, command, cpu, wall, mb, written, failed }) => [
        model,
        format.bytes(bytes),
        command,
        ...(failed ? ["-", "-", "-", failed.slice(0, 60)] : [cpu, wall, mb].map(String)),
        ...(failed ? [] : [written === null ? "-" : format.bytes(written)]),
      ]),
    ),
    ...(peers.length === 0
      ? []
      : [
          "The same jobs by onnxruntime.quantization (`MatMulNBitsQuantizer`, `quantize_dynamic`, `quantize_static`). Ratio: ours over theirs, lower is better.",
          table(
            ["model", "job", "CPU, s", "theirs", "ratio", "peak, MB", "theirs", "ratio"],
            peers.map(({ ours, peer }) => [
              ours.model,
              ours.command,
              ...[ours.cpu, peer.cpu].map(String),
              (ours.cpu / peer.cpu).toFixed(2),
              ...[ours.mb, peer.mb].map(String),
              (ours.mb / peer.mb).toFixed(2),
            ]),
          ),
        ]),
  ];
}
