/** @file Runs calibration records through a model and hands over inner values, batch by batch. */

import type { Observe, Records, Tap } from "../context.ts";
import { numberOf } from "../data/dataset.ts";
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { areFinite } from "../numeric/finite.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { build } from "../ops/builder.ts";
import { rewrite } from "../rewrite/index.ts";
import type { Session } from "../runtime/runtime.ts";
import { listed } from "../util/listed.ts";
import { product } from "../util/product.ts";
import { checkpoint, type Environment } from "./environment.ts";

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
    const { calibration } = env;
    if (!calibration) throw fail(errors.needsData(where));
    onUse();
    const tapped = tapModel(model, taps);
    const session = await env.runtime.open(
      { bytes: concat(writeModel(tapped)) },
      { threads: env.threads },
    );
    const size = batchSize(session, taps);
    const left = new Map<number, Tap>();
    const seen = new Set<Tap>();
    /** Feeds these records and collects the taps of these indices. */
    const feed = async (records: readonly number[], wanted: readonly number[]): Promise<void> => {
      const rows = size.fixed ?? records.length;
      const fed = Array.from({ length: rows }, (_, i) => records[i % records.length]);
      const { inputs } = await calibration.read(fed);
      const outputs = await session.run(inputs, wanted.map(nameOf));
      const broken: number[] = [];
      for (const i of wanted) {
        const batch = outputs[nameOf(i)];
        if (!isSound(batch)) broken.push(i);
        else {
          seen.add(taps[i]);
          collect(taps[i], batch, { records: records.length, share: records.length / rows });
        }
      }
      await checkpoint(env, "calibration");
      if (broken.length === 0) return;
      // Bisection finds the records at fault, so that only they are left out.
      if (records.length === 1) left.set(records[0], taps[broken[0]]);
      else {
        const middle = records.length >> 1;
        for (const half of [records.slice(0, middle), records.slice(middle)]) {
          for (const part of batchesOf(half, size)) await feed(part, broken);
        }
      }
    };
    try {
      const all = [...taps.keys()];
      for (const part of batchesOf(chosen(wanted, calibration.length), size)) await feed(part, all);
    } finally {
      await session.close();
    }
    const empty = taps.find((tap) => !tap.optional && !seen.has(tap));
    if (empty && left.size > 0) {
      const why = `the values of "${empty.value.name}" are not finite on any calibration record`;
      throw fail(errors.badNumber(where, why, "Check model and data with: tersor eval"));
    }
    const fresh = [...left].filter(([record, tap]) => !told.has(record) && seen.has(tap));
    if (fresh.length === 0) return;
    for (const [record] of fresh) told.add(record);
    const [[, first]] = fresh;
    const numbers = fresh.map(([record]) => numberOf(calibration, record));
    warn(
      `values such as "${first.value.name}" are not finite on ${listed("record", numbers)} of ${calibration.name}, which calibration leaves out`,
    );
  };
}

const nameOf = (index: number): string => `tersor_tap_${index}`;

/** Whether a batch holds no NaN and no infinity. */
const isSound = (batch: Tensor): boolean =>
  dtypes[batch.dtype].kind !== "float" || areFinite(batch.floats());

/** The indices of the wanted records. */
function chosen(wanted: Records | undefined, length: number): number[] {
  const {
    from,
    to,
    step = 1,
  } = typeof wanted === "object" ? wanted : { from: 0, to: wanted ?? length };
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
function batchSize({ inputs }: Pick<Session, "inputs">, taps: readonly Tap[]): BatchSize {
  const dim = inputs.find(({ dims }) => dims.length > 0)?.dims[0];
  if (typeof dim === "number" && dim > 0) return { fixed: dim, most: dim };
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
