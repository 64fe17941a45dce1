/**
 * @file int8 of real models on integers everywhere (`kernel=integer`) and where the target's table
 * expects it to pay (`kernel=expected`), beside float32: one thread, timed in turn. Arguments choose
 * models; WEB=1 runs the web engine. Writes results/kernels.json; `npm run bench:kernels` takes some
 * minutes. Ranges come from one record: they do not change the time.
 */
import { readFileSync } from "node:fs";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { readModel } from "../src/onnx/read.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { inferModel } from "../src/ops/infer.ts";
import { rewrite } from "../src/rewrite/index.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { openWebRuntime } from "../src/runtime/ort-web.ts";
import { apply, environmentOf } from "../test/support/apply.ts";
import { tensorDataset } from "../test/support/dataset.ts";
import { nets } from "../test/support/nets.ts";
import { feedsOf, type RealModel, realModels } from "../test/support/real-models.ts";
import { readRun, writeRun } from "./record.ts";

const kernels = ["integer", "expected"] as const;
type Kernel = (typeof kernels)[number];

/** A model with one kernel: bytes of its file, and how many times as fast as float32 it is. */
export interface KernelRow {
  readonly bytes: number;
  readonly speedup: number;
  readonly ci95: readonly [number, number] | null;
}

/** bench/results/kernels.json of one CPU: by target, then model, then kernel. */
export interface KernelsBench {
  readonly targets: Readonly<Record<string, Readonly<Record<string, Record<Kernel, KernelRow>>>>>;
}

const quick = { calibrator: "minmax", equalize: false, correctBias: false, rescue: false } as const;
const runtime = process.env.WEB ? await openWebRuntime() : await openNodeRuntime();
const round = (x: number): number => Number(x.toFixed(3));

async function rowsOf({ path, shapes }: RealModel) {
  const model = readModel(new Uint8Array(readFileSync(path as string)));
  inferModel(model);
  rewrite(model);
  const feeds = feedsOf(shapes[0]);
  const env = environmentOf(nets[0], { calibration: tensorDataset(feeds), feeds, runtime });
  const files = [concat(writeModel(model))];
  for (const kernel of kernels) {
    files.push((await apply(model, "quantize-int8", { ...quick, kernel }, env)).bytes);
  }
  const sessions = [];
  for (const bytes of files) sessions.push(await runtime.open({ bytes }, { threads: 1 }));
  const candidates = sessions.map((session, i) => ({
    name: String(i),
    run: () => session.run(feeds),
  }));
  const timings = await measureLatency(candidates, { platform: nodePlatform, budgetMs: 4000 });
  for (const session of sessions) await session.close();
  const rows = kernels.map((kernel, i): [Kernel, KernelRow] => {
    const { value, ci95 } = timings[i + 1].ratio;
    const interval = ci95 && ([round(ci95[0]), round(ci95[1])] as const);
    return [kernel, { bytes: files[i + 1].length, speedup: round(value), ci95: interval }];
  });
  return { target: env.target.id, rows: Object.fromEntries(rows) as Record<Kernel, KernelRow> };
}

const wanted = process.argv.slice(2);
for (const model of realModels) {
  if (!model.path || (wanted.length > 0 && !wanted.includes(model.name))) continue;
  const found = await rowsOf(model).catch((cause: Error) => {
    console.log(`${model.name}: ${cause.message}`);
    return null;
  });
  if (!found) continue;
  const { target, rows } = found;
  const targets = readRun<KernelsBench>("kernels")?.targets ?? {};
  writeRun("kernels", {
    targets: { ...targets, [target]: { ...targets[target], [model.name]: rows } },
  });
  console.log(target, model.name, JSON.stringify(rows));
}
process.exit(0);
