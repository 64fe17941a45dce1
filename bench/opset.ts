/**
 * @file Measures whether the operator set influences speed: each real model as it came is timed
 * beside copies upgraded to operator sets 21, 22 and 25. Writes results/opset.json.
 *
 * `npm run bench:opset [part of a model's name] [seconds per model]`
 */
import { readFileSync } from "node:fs";
import type { Tensor } from "../src/ir/tensor.ts";
import type { Speedup } from "../src/measure/latency.ts";
import { nodePlatform as platform } from "../src/node/platform.ts";
import { readModel } from "../src/onnx/read.ts";
import { raiseOpset } from "../src/onnx/upgrade.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { openTimed, timeSessions } from "../src/recipe/time-sessions.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { relativeError } from "../test/support/error.ts";
import { feedsOf, realModels } from "../test/support/real-models.ts";
import { writeRun } from "./record.ts";

/** The content of results/opset.json for one CPU; `speedup` is over the file as it came. */
export interface OpsetBench {
  readonly rows: readonly {
    readonly name: string;
    readonly cpuMs: number;
    readonly relativeError: number;
    readonly speedup: Readonly<Record<string, Speedup>>;
  }[];
}

const sets = [21, 22, 25] as const;

/** The model's file raised to an operator set. */
function raised(bytes: Uint8Array, opset: number): Uint8Array {
  const model = readModel(bytes);
  raiseOpset(model, opset);
  return concat(writeModel(model));
}

const [part = "", seconds = "10"] = process.argv.slice(2);
const runtime = await openNodeRuntime();
const rows: OpsetBench["rows"][number][] = [];
for (const { name, path, shapes } of realModels) {
  if (!path || !name.includes(part)) continue;
  const original = new Uint8Array(readFileSync(path));
  const feeds = feedsOf(shapes[0]);
  const around = { platform, runtime, threads: 1, feeds, signal: null };
  const opened = [];
  for (const bytes of [original, ...sets.map((opset) => raised(original, opset))]) {
    opened.push(await openTimed({ bytes }, around));
  }
  const outputs: Record<string, Tensor>[] = [];
  for (const { session } of opened) outputs.push(await session.run(feeds));
  const [first, ...timings] = await timeSessions(opened, around, Number(seconds) * 1000);
  for (const { session } of opened) await session.close();
  const row = {
    name,
    relativeError: Math.max(...outputs.slice(1).map((own) => relativeError(outputs[0], own))),
    cpuMs: first.latency.median,
    speedup: Object.fromEntries(sets.map((opset, i) => [opset, timings[i].ratio])),
  };
  rows.push(row);
  console.log(JSON.stringify(row));
}
if (part === "") writeRun("opset", { command: "npm run bench:opset", rows });
