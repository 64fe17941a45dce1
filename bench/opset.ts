/**
 * @file Measures whether the operator set influences speed: each real model as it came is timed
 * beside copies upgraded to operator sets 21, 22 and 25. Writes results/opset.json.
 *
 * `npm run bench:opset [part of a model's name] [seconds per model]`
 */
import { readFileSync } from "node:fs";
import { measureLatency, type Speedup } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { readModel } from "../src/onnx/read.ts";
import { raiseOpset } from "../src/onnx/upgrade.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
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

async function main([part = "", seconds = "4"]: string[]): Promise<void> {
  const runtime = await openNodeRuntime();
  const rows: OpsetBench["rows"][number][] = [];
  for (const { name, path, shapes } of realModels) {
    if (!path || !name.includes(part)) continue;
    const bytes = new Uint8Array(readFileSync(path));
    const at = (opset: number): Uint8Array => {
      const model = readModel(bytes);
      raiseOpset(model, opset);
      return concat(writeModel(model));
    };
    const files = { original: bytes, 21: at(21), 22: at(22), 25: at(25) };
    const feeds = feedsOf(shapes[0]);
    const sessions = await Promise.all(
      Object.values(files).map((file) => runtime.open({ bytes: file }, { threads: 1 })),
    );
    const [before, after] = await Promise.all(sessions.slice(0, 2).map((s) => s.run(feeds)));
    const timings = await measureLatency(
      Object.keys(files)
        .sort((a, b) => Number(b === "original") - Number(a === "original"))
        .map((label) => ({
          name: label,
          run: () => sessions[Object.keys(files).indexOf(label)].run(feeds),
        })),
      { platform: nodePlatform, budgetMs: Number(seconds) * 1000, maxRuns: 400 },
    );
    const raised = timings.slice(1);
    const row = {
      name,
      relativeError: relativeError(before, after),
      cpuMs: timings[0].latency.median,
      speedup: Object.fromEntries(raised.map((timing) => [timing.name, timing.ratio])),
    };
    rows.push(row);
    const cells = timings
      .slice(1)
      .map(
        ({ name, ratio: { value, ci95 } }) =>
          `${name}: ${value.toFixed(3)} [${ci95?.map((x) => x.toFixed(3))}]`,
      );
    console.log(name.padEnd(40), row.relativeError.toExponential(1), cells.join("  "));
    for (const session of sessions) await session.close();
  }
  if (part === "") writeRun("opset", { command: "npm run bench:opset", rows });
}

await main(process.argv.slice(2));
