/**
 * @file Measures lossless rewriting on every real model, by tersor and by its peers: nodes, bytes,
 * speed, error of the outputs, failures. Writes results/rewrite.json. Arguments choose models by a
 * part of their name; the results of the others are kept. The peers of Python need the environment
 * of bench/peers/README.md.
 */

import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { type GraphProto, ModelProtoSchema } from "onnx-buf";
import { type Speedup, speedupOver } from "../src/measure/latency.ts";
import { nodePlatform as platform } from "../src/node/platform.ts";
import { median } from "../src/numeric/statistics.ts";
import { type Opened, timeSessions } from "../src/recipe/time-sessions.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import type { Feeds } from "../src/runtime/runtime.ts";
import { relativeError } from "../test/support/error.ts";
import { feedsOf, type RealModel, realModels } from "../test/support/real-models.ts";
import { readRun, writeRun } from "./record.ts";
import { openRewriters } from "./rewriters.ts";

/** What one tool made of a model; with `failure`, what is missing was not reached. */
export interface Rewritten {
  readonly nodes?: number;
  readonly bytes?: number;
  /** Largest relative error of an output, over all shapes of inputs that the model is run with. */
  readonly error?: number;
  /** Over the original. */
  readonly speedup?: Speedup;
  /** Over tersor's file. */
  readonly overTersor?: Speedup;
  readonly failure?: string;
}

/** One row of results/rewrite.json. */
export interface RewriteRow {
  readonly model: string;
  readonly nodes: number;
  readonly bytes: number;
  /** Median process-CPU ms of a run of the original, one thread. */
  readonly cpuMs: number;
  readonly tools: Readonly<Record<string, Rewritten>>;
}

/** The content of results/rewrite.json for one CPU. */
export interface RewriteBench {
  readonly platform: string;
  readonly runtime: string;
  readonly rows: readonly RewriteRow[];
}

/** Least time for each model, in ms; a busy machine needs more. */
const leastMs = 1000 * Number(process.env.BUDGET_S ?? 12);
const runtime = await openNodeRuntime();
const rewriters = openRewriters();

async function measure({ name, path, shapes }: RealModel): Promise<RewriteRow> {
  const original = new Uint8Array(readFileSync(path as string));
  const feeds = shapes.map((shape) => feedsOf(shape));
  const first = await open(original);
  const expected = [];
  for (const feed of feeds) expected.push(await first.session.run(feed));
  const opened: Record<string, Opened> = {};
  const tools: Record<string, Rewritten> = {};
  for (const [tool, rewriteFile] of Object.entries(rewriters)) {
    let found: Rewritten = {};
    try {
      const bytes = rewriteFile(path as string);
      found = { nodes: countNodes(bytes), bytes: bytes.byteLength };
      const own = await open(bytes);
      const errors = [];
      for (const [i, feed] of feeds.entries()) {
        errors.push(relativeError(expected[i], await own.session.run(feed)));
      }
      tools[tool] = { ...found, error: Math.max(...errors) };
      opened[tool] = own;
    } catch (cause) {
      tools[tool] = { ...found, failure: plain((cause as Error).message, path as string) };
    }
  }
  const all = Object.values(opened);
  const runMs = await quickly(first, feeds[0]);
  const around = { platform, runtime, threads: 1, feeds: feeds[0], signal: null };
  // Enough for nine sittings with sessions of their own, on a machine with nothing else to do.
  const budgetMs = Math.max(leastMs, 600 * runMs);
  const [base, ...timings] = await timeSessions([first, ...all], around, budgetMs);
  for (const { session } of [first, ...all]) await session.close();
  const ours = timings[Object.keys(opened).indexOf("tersor")];
  for (const [i, tool] of Object.keys(opened).entries()) {
    const overTersor =
      ours && tool !== "tersor" ? { overTersor: speedupOver(ours, timings[i]) } : {};
    tools[tool] = { ...tools[tool], speedup: timings[i].ratio, ...overTersor };
  }
  const cpuMs = base.latency.median;
  return { model: name, nodes: countNodes(original), bytes: original.byteLength, cpuMs, tools };
}

async function open(bytes: Uint8Array): Promise<Opened> {
  return { source: { bytes }, session: await runtime.open({ bytes }, { threads: 1 }) };
}

/** The median wall ms of three runs. */
async function quickly({ session }: Opened, feeds: Feeds): Promise<number> {
  const times = [];
  for (let i = 0; i < 3; i++) {
    const began = performance.now();
    await session.run(feeds);
    times.push(performance.now() - began);
  }
  return median(times);
}

/** Nodes of all graphs; a Constant is a weight, whichever way a file writes it. */
function countNodes(bytes: Uint8Array): number {
  const count = (graph: GraphProto | undefined): number =>
    (graph?.node ?? []).reduce((sum, { opType, attribute }) => {
      const inner = attribute.flatMap(({ g, graphs }) => [g, ...graphs]).map(count);
      return sum + (opType === "Constant" ? 0 : 1) + inner.reduce((a, b) => a + b, 0);
    }, 0);
  return count(fromBinary(ModelProtoSchema, bytes).graph);
}

/** A tool's message on one line, without the path of the file. */
const plain = (message: string, path: string): string =>
  message.replaceAll(path, "the model").replace(/\s+/g, " ").slice(0, 200);

const only = process.argv.slice(2);
for (const item of realModels) {
  if (!item.path || (only.length > 0 && !only.some((part) => item.name.includes(part)))) continue;
  const row = await measure(item);
  console.log(JSON.stringify(row));
  // Read only now, because another process may have added rows in the meantime.
  const before = readRun<RewriteBench>("rewrite")?.rows ?? [];
  const rows = new Map([...before, row].map((own) => [own.model, own]));
  writeRun("rewrite", {
    command: "npm run bench:rewrite",
    platform: platform.name,
    runtime: `onnxruntime-node ${runtime.version}`,
    rows: realModels.flatMap(({ name }) => rows.get(name) ?? []),
  });
}
