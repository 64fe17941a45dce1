/** @file Streams calibration records through a model and hands over inner values, batch by batch. */
import type { Dataset } from "../data/dataset.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import type { Observe } from "../methods/method.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { checkpoint, type Environment } from "./environment.ts";

/** Elements of inner values in memory at once, and records at most. */
const ELEMENTS = 2 ** 24;
const RECORDS = 64;

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
      const fixed = fixedBatch(session.inputs[0]?.dims[0]);
      const size = fixed ?? batchSizeOf(values);
      const count = fixed ? wholeBatches(records, fixed) : Math.min(records, calibration.length);
      for await (const inputs of batchesOf(calibration, size, count)) {
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

function fixedBatch(dim: number | string | undefined): number | null {
  return typeof dim === "number" && dim > 0 ? dim : null;
}

/** A model of fixed batch takes no other: a few records less, or again, do not matter. */
function wholeBatches(records: number, size: number): number {
  return Math.max(1, Math.floor(records / size)) * size;
}

function batchSizeOf(values: readonly Value[]): number {
  const perRecord = values.reduce((sum, { shape }) => {
    const dims = (shape ?? []).slice(1).map((dim) => (typeof dim === "number" ? dim : RECORDS));
    return sum + dims.reduce((a, b) => a * b, 1);
  }, 0);
  return Math.min(RECORDS, Math.max(1, Math.floor(ELEMENTS / Math.max(1, perRecord))));
}

async function* batchesOf(calibration: Dataset, size: number, count: number) {
  for (let start = 0; start < count; start += size) {
    const length = Math.min(size, count - start);
    const indices = Array.from({ length }, (_, i) => (start + i) % calibration.length);
    yield (await calibration.read(indices)).inputs;
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
