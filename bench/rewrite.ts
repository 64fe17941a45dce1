/**
 * @file Measures lossless rewriting on every real model: nodes, bytes, speed, error of the outputs.
 * Writes results/rewrite.json. Arguments choose models by a part of their name; then nothing is
 * written.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Model } from "../src/ir/model.ts";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { readModel } from "../src/onnx/read.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { rewrite } from "../src/rewrite/index.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { relativeError } from "../test/support/error.ts";
import { feedsOf, realModels } from "../test/support/real-models.ts";

const only = process.argv.slice(2);
const budgetMs = 4000;

const runtime = await openNodeRuntime();
const rows = [];
for (const { name, path, shapes } of realModels) {
  if (!path || (only.length > 0 && !only.some((part) => name.includes(part)))) continue;
  const original = new Uint8Array(readFileSync(path));
  const model = readModel(original, { name });
  // The model after reading, which only upgrades it to the operator set that tersor works with.
  const upgraded = concat(writeModel(model));
  const nodes = countNodes(model);
  const started = performance.now();
  const report = rewrite(model);
  const rewriteMs = performance.now() - started;
  const rewritten = concat(writeModel(model));
  const feeds = feedsOf(shapes[0]);
  const sessions = await Promise.all(
    [original, upgraded, rewritten].map((bytes) => runtime.open({ bytes }, { threads: 1 })),
  );
  const error = relativeError(await sessions[0].run(feeds), await sessions[2].run(feeds));
  const timings = await measureLatency(
    ["original", "upgraded", "rewritten"].map((label, i) => ({
      name: label,
      run: () => sessions[i].run(feeds),
    })),
    { platform: nodePlatform, budgetMs, maxRuns: 400 },
  );
  for (const session of sessions) await session.close();
  const rules: Record<string, number> = {};
  for (const { rule } of report.applied) rules[rule] = (rules[rule] ?? 0) + 1;
  const row = {
    model: name,
    shape: Object.values(shapes[0])[0].join("x"),
    nodes: [nodes, countNodes(model)],
    bytes: [original.byteLength, upgraded.byteLength, rewritten.byteLength],
    cpuMs: timings.map(({ latency }) => round(latency.median, 4)),
    upgradedSpeedup: round(timings[1].ratio.value, 3),
    speedup: round(timings[2].ratio.value, 3),
    ci95: timings[2].ratio.ci95,
    error,
    rewriteMs: Math.round(rewriteMs),
    rounds: report.rounds,
    rules,
    refused: [...new Set(report.refused.map(({ rule, reason }) => `${rule}: ${reason}`))],
  };
  rows.push(row);
  console.log(
    [
      name.padEnd(40),
      row.nodes.join(" -> ").padStart(12),
      row.bytes.slice(1).join(" -> ").padStart(20),
      `${row.cpuMs[0]} -> ${row.cpuMs[2]} CPU ms`.padStart(20),
      `x${row.speedup.toFixed(2)} [${row.ci95?.map((x) => x.toFixed(2)).join(", ")}]`.padStart(20),
      `upgrade x${row.upgradedSpeedup.toFixed(2)}`,
      `error ${error.toExponential(1)}`,
    ].join("  "),
  );
}
if (only.length === 0) {
  const result = {
    what: "lossless rewriting; process-CPU milliseconds of single runs (median of the original's, divided by the speed-up), 1 thread, interleaved; speed-up: median of paired ratios, 95 % interval",
    platform: nodePlatform.name,
    runtime: `onnxruntime-node ${runtime.version}`,
    rows,
  };
  writeFileSync(
    new URL("results/rewrite.json", import.meta.url),
    `${JSON.stringify(result, null, 1)}\n`,
  );
}

function countNodes(model: Model): number {
  return [...model.graph.walk()].reduce((sum, graph) => sum + graph.nodes.size, 0);
}

function round(x: number, digits: number): number {
  return Number(x.toFixed(digits));
}
