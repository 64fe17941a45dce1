/** @file Runs calibration records through a model and hands over inner values, batch by batch. */

import type { Observe, Tap } from "../context.ts";
import type { Dataset } from "../data/dataset.ts";
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { build } from "../ops/builder.ts";
import { rewrite } from "../rewrite/index.ts";
import { product } from "../util/product.ts";
import { checkpoint, type Environment } from "./environment.ts";

/**
 * A batch has at most so many elements in all tapped values together, and at most so many records.
 */
const ELEMENTS = 2 ** 25;
const RECORDS = 64;

/**
 * Makes `context.observe` for one step. `onUse` is called when the step reads calibration records;
 * `where` is the name of the step in errors. See `Context.observe` for what it does and throws.
 */
export function createObserve(env: Environment, onUse: () => void, where: string): Observe {
  return async (model, taps, collect, wanted) => {
    const { calibration } = env;
    if (!calibration) throw fail(errors.needsData(where));
    const records = wanted ?? calibration.length;
    onUse();
    const tapped = tapModel(model, taps);
    const session = await env.runtime.open(
      { bytes: concat(writeModel(tapped)) },
      { threads: env.threads },
    );
    try {
      const fixed = fixedBatch(session.inputs[0]?.dims[0]);
      const size = fixed ?? batchSizeOf(taps);
      const most = Math.min(records, calibration.length);
      const count = fixed ? wholeBatches(most, fixed) : most;
      for await (const inputs of batchesOf(calibration, size, count)) {
        const outputs = await session.run(inputs);
        for (const [i, tap] of taps.entries()) collect(tap, outputs[nameOf(i)]);
        await checkpoint(env, "calibration");
      }
    } finally {
      await session.close();
    }
  };
}

const nameOf = (index: number): string => `tersor_tap_${index}`;

/** The batch size if the model's first axis is fixed, null if it is free. */
function fixedBatch(dim: number | string | undefined): number | null {
  return typeof dim === "number" && dim > 0 ? dim : null;
}

/**
 * How many records to run through a model with a fixed batch size, which takes whole batches only:
 * rounded down, but at least one batch, which then repeats records.
 */
function wholeBatches(records: number, size: number): number {
  return Math.max(1, Math.floor(records / size)) * size;
}

/** The largest batch that keeps within both limits; an unknown axis counts as `RECORDS` long. */
function batchSizeOf(taps: readonly Tap[]): number {
  const perRecord = taps.reduce((sum, { value }) => {
    const dims = (value.shape ?? [])
      .slice(1)
      .map((dim) => (typeof dim === "number" ? dim : RECORDS));
    return sum + product(dims);
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

/** A copy of the model whose outputs are the tapped values, named by `nameOf`, and nothing else. */
function tapModel(model: Model, taps: readonly Tap[]): Model {
  const copies = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, copies);
  const g = build(graph, "tap");
  const outputs = taps.map(({ value, of }, i) => {
    const copy = copies.get(value);
    if (!copy) throw new Error(`${value.name} is not in the model`);
    // The Identity gives every tap a value of its own. Without it a value that is tapped twice
    // would need two names, and a graph input would be an output.
    const wanted = of ? of(g, copy) : g.Identity(copy);
    wanted.name = nameOf(i);
    return wanted;
  });
  graph.setOutputs(outputs);
  const tapped: Model = { ...model, graph };
  // The engine would also run the nodes that no output depends on.
  rewrite(tapped, { rules: ["drop-dead"] });
  return tapped;
}
