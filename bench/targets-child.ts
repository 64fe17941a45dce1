/**
 * @file One engine of bench/targets.ts: times the models of each case in turn, in a process of its own.
 *
 * Argument: a job file. `engine` is the path of the engine's module; the times go to `out`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { openSession } from "../src/runtime/ort.ts";
import { type Case, inputOf, type Job, type Times } from "./targets-plan.ts";

const WARM_MS = 500;
const job: Job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const module = await import(pathToFileURL(job.engine).href);
const ort = module.InferenceSession ? module : module.default;
ort.env.logLevel = "fatal";
if (job.provider === "wasm") ort.env.wasm.numThreads = 1;
const engine = { ort, label: job.engine, provider: job.provider };

/** The speed of each model of a case over its first one. */
async function timesOf({ name, files, shape, integers }: Case): Promise<Record<string, number>> {
  const feeds = { x: inputOf(shape, integers) };
  const opened = await Promise.all(
    files.map(({ path }) => openSession(engine, { bytes: new Uint8Array(readFileSync(path)) })),
  );
  for (const session of opened) await warmUp(() => session.run(feeds));
  const timings = await measureLatency(
    files.map(({ id }, i) => ({ name: id, run: () => opened[i].run(feeds) })),
    { platform: nodePlatform, budgetMs: job.budgetMs },
  );
  for (const session of opened) await session.close();
  const found = timings.slice(1).map(({ ratio }, i): [string, number] => {
    return [files[i + 1].id, Math.round(ratio.value * 100) / 100];
  });
  console.log(job.name, name, JSON.stringify(Object.fromEntries(found)));
  return Object.fromEntries(found);
}

/** WebAssembly is compiled a second time, for speed, only while it runs. */
async function warmUp(run: () => Promise<unknown>): Promise<void> {
  const until = performance.now() + WARM_MS;
  while (performance.now() < until) await run();
}

const times: Times = {};
for (const one of job.cases) times[one.name] = await timesOf(one);
writeFileSync(job.out, JSON.stringify(times));
process.exit(0);
