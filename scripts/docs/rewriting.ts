/** @file Sections of docs/benchmarks.md: lossless rewriting by tersor and its peers, operator sets. */
import type { OpsetBench } from "../../bench/opset.ts";
import type { Runs } from "../../bench/record.ts";
import type { RewriteBench, Rewritten } from "../../bench/rewrite.ts";
import { contains } from "../../src/numeric/statistics.ts";
import { speedup } from "../../src/report/speed.ts";
import { latest, rowsByCpu, table, thousands } from "./page.ts";

/** What a tool's cell says; "-" where the tool failed before it. */
const cells = {
  nodes: ({ nodes }: Rewritten, ours: Rewritten) =>
    nodes === undefined ? "-" : better(String(nodes), nodes < (ours.nodes ?? 0)),
  bytes: ({ bytes }: Rewritten, ours: Rewritten) =>
    bytes === undefined ? "-" : better(thousands(bytes), bytes < (ours.bytes ?? 0)),
  error: ({ error, failure }: Rewritten) =>
    failure ? "fails" : error === 0 ? "0" : (error ?? 0).toExponential(0),
  speed: ({ speedup: own, overTersor }: Rewritten) => {
    if (!own) return "-";
    const isFaster = overTersor && overTersor.value > 1 && !contains(overTersor.ci95, 1);
    return better(speedup(own.value, own.ci95), isFaster === true);
  },
} as const;

/** Bold is what is better than tersor's. */
const better = (text: string, isBetter: boolean): string => (isBetter ? `**${text}**` : text);

export function rewriteSection(runs: Runs<RewriteBench>): string[] {
  const { rows, platform, runtime } = latest(runs);
  const tools = [...new Set(rows.flatMap((row) => Object.keys(row.tools)))];
  const cellsOf = (row: RewriteBench["rows"][number], kind: keyof typeof cells): string[] =>
    tools.map((tool) =>
      row.tools[tool] ? cells[kind](row.tools[tool], row.tools.tersor ?? {}) : "-",
    );
  const failures = rows.flatMap(({ model, tools: own }) =>
    Object.entries(own).flatMap(([tool, { failure }]) =>
      failure ? [`- ${tool} on ${model}: ${failure}`] : [],
    ),
  );
  return [
    "## Lossless rewriting",
    `What \`simplify\` makes of real models, beside npm's \`onnxsim\` 0.7.3, the optimizer of Python's \`onnxscript\` 0.7.2, and the file that ONNX Runtime 1.30 writes after its "basic" optimizations. Bold: better than tersor; a speed counts if the interval of its ratio to tersor's, from the same rounds, is above 1. ${platform}, ${runtime}. \`npm run bench:rewrite\`.`,
    "Nodes, those of inner graphs included, Constants not:",
    table(
      ["model", "original", ...tools],
      rows.map((row) => [row.model, String(row.nodes), ...cellsOf(row, "nodes")]),
    ),
    "What the peers have fewer nodes by: onnxsim joins Slices along different axes into one. onnxscript takes the shapes that an exporter wrote into the file for inner values as true, and so decides the Ifs of silero_vad_16k_op15; tersor believes only shapes that it inferred itself. What ONNX Runtime has fewer bytes by: tersor writes scalar factors and shifts of the PP-OCR networks as depthwise convolutions with a number for each channel (rule `keep-blocked`), 19 kB of the detector, which is where its speed-up comes from in part.",
    "Bytes of the file:",
    table(
      ["model", "original", ...tools],
      rows.map((row) => [row.model, thousands(row.bytes), ...cellsOf(row, "bytes")]),
    ),
    "Largest difference of an output from the original's, relative to the output's range, over one or two shapes of inputs:",
    table(
      ["model", ...tools],
      rows.map((row) => [row.model, ...cellsOf(row, "error")]),
    ),
    failures.length > 0 ? `Failures:\n\n${failures.join("\n")}` : "",
    "Speed-up over the original: process-CPU time, one thread, batch 1, all files in turn in nine sittings with sessions of their own; median of the ratios with its 95 % interval; no difference: that contains 1. The engine itself fuses what it can when it opens any of the files, so a difference is what it cannot do.",
    table(
      ["model", "CPU", "original, CPU ms", ...tools],
      rowsByCpu(runs, (run) =>
        run.rows.map((row) => [row.model, row.cpuMs.toFixed(3), ...cellsOf(row, "speed")]),
      ),
    ),
  ];
}

/** Whether the operator set, to which every model is raised when it is read, changes its speed. */
export function opsetSection(runs: Runs<OpsetBench>): string[] {
  const sets = Object.keys(latest(runs).rows[0].speedup);
  return [
    "## Operator sets and speed",
    "tersor raises every model to operator set 21 when it reads it. Speed-up of the raised file over the file as it came, without any rewriting: process-CPU time, one thread, batch 1, median of the ratios within rounds with its 95 % interval. `npm run bench:opset`.",
    table(
      ["model", "CPU", "as it came, CPU ms", ...sets.map((set) => `raised to ${set}`)],
      rowsByCpu(runs, ({ rows }) =>
        rows.map(({ name, cpuMs, speedup: ratios }) => [
          name,
          cpuMs.toFixed(3),
          ...sets.map((set) => speedup(ratios[set].value, ratios[set].ci95)),
        ]),
      ),
    ),
  ];
}
