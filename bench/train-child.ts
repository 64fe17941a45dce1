/**
 * @file tersor's side of bench/train.ts: runs training steps with the parts of the library.
 *
 * Arguments: task, threads, folder, and "default" to leave out the tuning. Writes parameters and
 * data to the folder, where train.py reads them. Reads lines from stdin: a number of steps, or
 * "profile"; each is answered by one line of JSON, as train.py does.
 */
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { tensor } from "../src/ir/tensor.ts";
import { nodePlatform as platform } from "../src/node/platform.ts";
import { profileFiles } from "../src/node/profile.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import type { Feeds, NodeTime, Session } from "../src/runtime/runtime.ts";
import { optimizers, startState } from "../src/train/optimizers.ts";
import { flatten } from "../src/train/parameters.ts";
import { ports } from "../src/train/step.ts";
import { type Choices, formsOf, tune } from "../src/train/tune.ts";
import { dataOf, stepFor, tasks } from "./train-nets.ts";

const [name, threads, folder, mode = "tuned"] = process.argv.slice(2);
const lanes = Number(threads);
const task = tasks[name];
const runtime = await openNodeRuntime(profileFiles);
const options = { optimize: "basic", memoryPattern: false, threads: 1 } as const;
const cpuMs = (): number => platform.cpuMs() as number;

const tuning = performance.now();
const choices: Choices =
  mode === "default"
    ? {}
    : await tune((forms) => stepFor(task, lanes, forms), {
        open: (bytes) => runtime.open({ bytes }, options),
        cpuMs,
      });
const tuneSeconds = (performance.now() - tuning) / 1000;
const step = stepFor(task, lanes, formsOf(choices));
const bytes = concat(writeModel(step.model));

const workers =
  lanes > 1 ? Array.from({ length: lanes }, () => platform.startWorker?.(runtime)) : [];
const engines = lanes > 1 ? workers.map((worker) => worker!.runtime) : [runtime];
const sessions: Session[] = await Promise.all(engines.map((e) => e.open({ bytes }, options)));

const parameters = flatten(step.parameters);
const { x, label } = dataOf(task);
writeFileSync(`${folder}/parameters.bin`, inOrder());
writeFileSync(`${folder}/x.bin`, x.bytes());
writeFileSync(`${folder}/label.bin`, label.bytes());
writeFileSync(`${folder}/shapes.json`, JSON.stringify({ x: task.input, label: task.label }));

const [input] = step.model.graph.inputs;
const parts = sessions.map((_, lane) => {
  const cut = (whole: typeof x) => {
    const size = whole.size / lanes;
    const values = whole.data().slice(lane * size, (lane + 1) * size);
    return tensor(
      whole.dtype,
      [whole.shape[0] / lanes, ...whole.shape.slice(1)],
      values as Float32Array,
    );
  };
  return { [input.name]: cut(x), label: cut(label) };
});
const state = startState("adam", parameters.length);
const segments = [{ from: 0, to: parameters.length, rate: 1e-4, decay: 0 }];
const hyper = { momentum: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0 };

/** CPU ms of the optimizer in each step since the last answer. */
let updates: number[] = [];

/**
 * One step on all lanes: gradients are averaged and Adam updates the parameters. Returns the loss.
 */
async function advance(): Promise<number> {
  const p = tensor("float32", [parameters.length], parameters);
  const feedsOf = (lane: number) => ({ ...parts[lane], [ports.parameters]: p });
  const results = await Promise.all(sessions.map((session, lane) => session.run(feedsOf(lane))));
  const gradient = results[0][ports.gradient].data() as Float32Array;
  let loss = results[0][ports.loss].numbers()[0] / lanes;
  for (const more of results.slice(1)) {
    const other = more[ports.gradient].data() as Float32Array;
    for (let i = 0; i < gradient.length; i++) gradient[i] += other[i];
    loss += more[ports.loss].numbers()[0] / lanes;
  }
  if (lanes > 1) for (let i = 0; i < gradient.length; i++) gradient[i] /= lanes;
  const began = cpuMs();
  optimizers.adam.update(parameters, gradient, state, segments, hyper);
  updates.push(cpuMs() - began);
  return loss;
}

/** The parameters layer by layer, which is PyTorch's order; a step has all weights first. */
function inOrder(): Float32Array {
  const [{ node }] = step.parameters;
  const order = node.graph.sorted();
  const sorted = step.parameters.toSorted((a, b) => order.indexOf(a.node) - order.indexOf(b.node));
  const values = sorted.flatMap(({ offset, size }) => [
    ...parameters.subarray(offset, offset + size),
  ]);
  return Float32Array.from(values);
}

/**
 * The least time of each node in eight runs: the engine's trace is of wall time, which other work on
 * the machine can only lengthen.
 */
async function profiled(feeds: Feeds): Promise<NodeTime[]> {
  const least = new Map<string, NodeTime>();
  for (let i = 0; i < 8; i++) {
    for (const time of (await runtime.profile({ bytes }, feeds, 1, options)) ?? []) {
      const before = least.get(time.node);
      if (!before || time.us < before.us) least.set(time.node, time);
    }
  }
  return [...least.values()];
}

/** Milliseconds of one step for each of the 12 operators that take most, largest first. */
function byOperator(times: readonly NodeTime[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const { op, us } of times) sums.set(op, (sums.get(op) ?? 0) + us / 1000);
  const sorted = [...sums].sort((a, b) => b[1] - a[1]).slice(0, 12);
  return Object.fromEntries(sorted.map(([op, ms]) => [op, Number(ms.toFixed(2))]));
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "profile") {
    const feeds = {
      ...parts[0],
      [ports.parameters]: tensor("float32", [parameters.length], parameters),
    };
    const times = await profiled(feeds);
    if (process.env.NODES) {
      const top = [...times].sort((a, b) => b.us - a.us).slice(0, Number(process.env.NODES));
      for (const { node, op, us } of top) console.error((us / 1000).toFixed(2), op, node);
    }
    console.log(JSON.stringify({ operators: byOperator(times) }));
    continue;
  }
  const cpu: number[] = [];
  const wall: number[] = [];
  const losses: number[] = [];
  for (let i = 0; i < Number(line); i++) {
    const [a, b] = [cpuMs(), performance.now()];
    losses.push(await advance());
    cpu.push(cpuMs() - a);
    wall.push(performance.now() - b);
  }
  const peak = process.resourceUsage().maxRSS / 1024;
  const tuned = { tuneSeconds, choices };
  console.log(
    JSON.stringify({ cpu, wall, updates, losses, peak, version: runtime.version, ...tuned }),
  );
  updates = [];
}
await Promise.all(workers.map((worker) => worker?.stop()));
