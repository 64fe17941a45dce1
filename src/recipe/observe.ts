/** @file Runs calibration records through a model and hands over inner values, batch by batch. */

import type { Observe, Records, Tap } from "../context.ts";
import { type Dataset, fixedRecords, numberOf } from "../data/dataset.ts";
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { build } from "../ops/builder.ts";
import { rewrite } from "../rewrite/index.ts";
import type { Session } from "../runtime/runtime.ts";
import { listed } from "../util/listed.ts";
import { product } from "../util/product.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { holdOut } from "./hold-out.ts";
import { createSieve } from "./sieve.ts";

/**
 * A batch has at most so many elements in all tapped values together, and at most so many records.
 */
const ELEMENTS = 2 ** 25;
const RECORDS = 64;

/**
 * Makes `context.observe` for one step. `onUse` is called when the step reads calibration records,
 * `warn` with a sentence about records that are left out; `where` is the name of the step in errors.
 * See `Context.observe` for what it does and throws.
 */
export function createObserve(
  env: Environment,
  onUse: () => void,
  where: string,
  warn: (text: string) => void = () => {},
): Observe {
  const told = new Set<number>();
  return async (model, taps, collect, wanted) => {
    const calibration = recordsFor(env, wanted);
    if (!calibration) throw fail(errors.needsData(where));
    onUse();
    const tapped = tapModel(model, taps);
    const session = await env.runtime.open(
      { bytes: concat(writeModel(tapped)) },
      { threads: env.threads },
    );
    const size = batchSize(session, calibration, taps);
    const sieve = createSieve(taps);
    const feed = async (records: readonly number[]): Promise<void> => {
      const rows = size.fixed ?? records.length;
      const fed = Array.from({ length: rows }, (_, i) => records[i % records.length]);
      const { inputs } = await calibration.read(fed);
      const outputs = await session.run(inputs);
      const batches = new Map(taps.map((tap, i) => [tap, outputs[nameOf(i)]]));
      await checkpoint(env, "calibration");
      const { finite, isAccepted } = sieve.judge(records, batches);
      if (isAccepted) {
        const about = { records: records.length, share: records.length / rows };
        for (const tap of finite) collect(tap, batches.get(tap) as Tensor, about);
      } else if (records.length > 1) {
        const middle = records.length >> 1;
        await feedAll(records.slice(0, middle));
        await feedAll(records.slice(middle));
      }
    };
    const feedAll = async (records: readonly number[]): Promise<void> => {
      for (const batch of batchesOf(records, size)) await feed(batch);
    };
    try {
      for (const batch of batchesOf(chosen(wanted, calibration.length), size)) {
        await feed(batch);
        await feedAll(sieve.settle());
      }
    } finally {
      await session.close();
    }
    const empty = sieve.never().find((tap) => !tap.optional);
    if (empty) {
      const why = `the values of "${empty.value.name}" are not finite on any calibration record`;
      throw fail(errors.badNumber(where, why, "Check model and data with: tersor eval"));
    }
    const left = [...sieve.left].filter(([record]) => !told.has(record));
    if (left.length === 0) return;
    for (const [record] of left) told.add(record);
    const [[, name]] = left;
    const numbers = left.map(([record]) => numberOf(calibration, record));
    const records = `${listed("record", numbers)} of ${calibration.name}`;
    warn(`leaves out ${records}, on which values such as "${name}" are not finite`);
  };
}

const nameOf = (index: number): string => `tersor_tap_${index}`;

/** The records of which some are wanted. */
function recordsFor(
  { calibration, training, seed }: Environment,
  wanted?: Records,
): Dataset | null {
  if (typeof wanted !== "object" || !("heldOut" in wanted) || !training) return calibration;
  return holdOut(training, wanted.heldOut, seed).heldOut ?? calibration;
}

/** The indices of the wanted records. */
function chosen(wanted: Records | undefined, length: number): number[] {
  const all = { from: 0, to: length, step: 1 };
  const part = typeof wanted === "number" ? { to: wanted } : wanted;
  const { from, to, step } = { ...all, ...part };
  const indices: number[] = [];
  for (let i = from; i < Math.min(to, length); i += step) indices.push(i);
  return indices;
}

interface BatchSize {
  /** Records of each run if the model fixes them, else null. */
  readonly fixed: number | null;
  readonly most: number;
}

/**
 * The batch size that the model fixes by its first axis, or the largest that keeps within both
 * limits; an unknown axis counts as `RECORDS` long.
 */
function batchSize(
  { inputs }: Pick<Session, "inputs">,
  records: Dataset,
  taps: readonly Tap[],
): BatchSize {
  const fixed = fixedRecords(records, inputs);
  if (fixed !== null) return { fixed, most: fixed };
  const perRecord = taps.reduce((sum, { value }) => {
    const dims = (value.shape ?? [])
      .slice(1)
      .map((dim) => (typeof dim === "number" ? dim : RECORDS));
    return sum + product(dims);
  }, 0);
  const most = Math.max(1, Math.floor(ELEMENTS / Math.max(1, perRecord)));
  return { fixed: null, most: Math.min(RECORDS, most) };
}

/**
 * Divides records into batches. Of a fixed size, the last records go into batches that repeat each
 * of them equally often, since what is summed over a batch cannot leave rows out: 7 records for a
 * model that takes 4 run as 4, 2 (each twice) and 1 (four times).
 */
function* batchesOf(records: readonly number[], { fixed, most }: BatchSize): Generator<number[]> {
  for (let start = 0; start < records.length; ) {
    let length = Math.min(most, records.length - start);
    while (fixed !== null && fixed % length !== 0) length--;
    yield records.slice(start, start + length);
    start += length;
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
