/** @file Streams calibration records through a model and hands over inner values, batch by batch. */
import { type Dataset, subset } from "../data/dataset.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import type { Observe } from "../methods/method.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { checkpoint, type Environment } from "./environment.ts";

/** Inner values of this many records are in memory at once. */
const BATCH = 8;

/** `onUse` tells that data was really needed. Null without calibration data. */
export function createObserve(env: Environment, onUse: () => void): Observe | null {
  const { calibration } = env;
  if (!calibration) return null;
  return async (model, values, collect, records = calibration.length) => {
    onUse();
    const tapped = tap(model, values);
    const session = await env.runtime.open(
      { bytes: concat(writeModel(tapped.model)) },
      { threads: env.threads },
    );
    try {
      const size = batchSizeOf(session.inputs[0]?.dims[0]);
      for await (const inputs of batchesOf(calibration, size, records)) {
        const outputs = await session.run(inputs, [...tapped.names.values()]);
        for (const value of values) {
          const name = tapped.names.get(value);
          const seen = name === undefined ? inputs[value.name] : outputs[name];
          if (seen) collect(value, seen);
        }
        await checkpoint(env, "calibration");
      }
    } finally {
      await session.close();
    }
  };
}

function batchSizeOf(dim: number | string | undefined): number {
  return typeof dim === "number" && dim > 0 ? dim : BATCH;
}

/** Whole batches only: a model of fixed batch takes no other, and a few records less do not matter. */
async function* batchesOf(calibration: Dataset, size: number, wanted: number) {
  const whole = Math.max(1, Math.floor(Math.min(wanted, calibration.length) / size)) * size;
  const records = subset(
    calibration,
    Array.from({ length: whole }, (_, i) => i % calibration.length),
  );
  for (let start = 0; start < whole; start += size) {
    const { inputs } = await records.read(Array.from({ length: size }, (_, i) => start + i));
    yield inputs;
  }
}

/** A copy of the model that returns the wanted values; graph inputs are known from the feeds. */
function tap(
  model: Model,
  values: readonly Value[],
): { model: Model; names: ReadonlyMap<Value, string> } {
  const copies = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, copies);
  const names = new Map<Value, string>();
  const outputs: Value[] = [];
  for (const value of values) {
    const copy = copies.get(value);
    if (!copy?.producer) continue;
    if (!graph.outputs.includes(copy)) copy.name = `observed_${names.size}_${copy.name}`;
    names.set(value, copy.name);
    outputs.push(copy);
  }
  graph.setOutputs(outputs);
  return { model: { ...model, graph }, names };
}
