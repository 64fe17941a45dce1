/**
 * @file Deltas: three fine-tunes of each of two networks, packed against the network that they come
 * from. Every one as it was trained, and with a change of rank 4 in each matrix, as LoRA leaves it: the
 * nearest of that rank to the change that was trained. Outputs of what the delta unpacks to are held
 * against those of the fine-tune, beside those of its int8 weights. Writes results/delta.json.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { cloneModel, type Model } from "../src/ir/model.ts";
import { tensor } from "../src/ir/tensor.ts";
import { unpack } from "../src/load.ts";
import { compress, load, pack, train } from "../src/node.ts";
import { createRandom } from "../src/numeric/random.ts";
import { truncatedSvd } from "../src/numeric/randomized-svd.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { type Task, tasksIn } from "./delta-tasks.ts";
import { readRun, writeRun } from "./record.ts";

/** A fine-tune and what it takes beside its base. Sizes in bytes, accuracies in percent. */
export interface DeltaRow {
  readonly base: string;
  readonly task: string;
  readonly change: "full" | "rank 4";
  readonly baseBytes: number;
  readonly delta: number;
  /** The fine-tune without its base, as a .tersor file; null for a change of rank 4. */
  readonly alone: number | null;
  readonly exact: number | null;
  /** Root mean square of the outputs' error over their standard deviation, in percent. */
  readonly error: number;
  readonly int8Error: number;
  readonly accuracy: { readonly [of in "base" | "tuned" | "delta" | "int8"]: number };
  /** Root mean square of the change over that of the weights, of all matrices, in percent. */
  readonly moved: number;
}

/** Data and fine-tunes are kept here; a fine-tune that is there is not trained again. */
const folder = new URL("../tersor-out/delta/", import.meta.url).pathname;
const chosen = process.argv.slice(2);
const rows: DeltaRow[] = [];
for (const task of tasksIn(folder)) {
  if (chosen.length > 0 && !chosen.includes(task.base)) continue;
  const base = await load(task.path);
  const tuned = await load(await tune(task));
  const changes = { full: tuned.model, "rank 4": lowRank(base.model, tuned.model, 4) } as const;
  for (const [change, model] of Object.entries(changes)) {
    rows.push(await rowOf(task, change as DeltaRow["change"], concat(writeModel(model))));
    console.log(JSON.stringify(rows.at(-1)));
  }
  const isNew = (row: DeltaRow): boolean =>
    rows.some(({ base, task }) => base === row.base && task === row.task);
  const others = readRun<{ rows: DeltaRow[] }>("delta")?.rows.filter((row) => !isNew(row)) ?? [];
  const all = [...others, ...rows].sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
  writeRun("delta", { rows: all });
}

/** The path of the fine-tune. */
async function tune(task: Task): Promise<string> {
  const path = `${folder}${task.base}-${task.name.replaceAll(" ", "-")}.onnx`;
  if (existsSync(path)) return path;
  const options = { steps: 300, batch: 64, rate: task.rate, holdout: 0.02 };
  const settings = { data: task.data, options, simplify: false, timingSeconds: 0.05, threads: 2 };
  writeFileSync(path, (await train(await load(task.path), settings)).bytes);
  return path;
}

async function rowOf(task: Task, change: DeltaRow["change"], bytes: Uint8Array): Promise<DeltaRow> {
  const original = readFileSync(task.path);
  const base = await load(task.path);
  const tuned = await load(bytes);
  const delta = await pack(tuned, { base });
  const restored = await unpack(delta.bytes, { base: original });
  const recipe = "quantize-weights:bits=8,rescue=false";
  const int8 = await compress(tuned, { recipe, simplify: false, measures: false });
  const wanted = await outputsOf(task, bytes);
  const [ofBase, ofDelta, ofInt8] = [
    await outputsOf(task, original),
    await outputsOf(task, restored),
    await outputsOf(task, int8.bytes),
  ];
  const accuracy = (outputs: readonly Float32Array[]) => {
    const right = outputs.filter((y, i) => y.indexOf(Math.max(...y)) === task.test[i].label);
    return round((right.length / outputs.length) * 100);
  };
  return {
    ...{ base: task.base, task: task.name, change, baseBytes: original.byteLength },
    delta: delta.bytes.byteLength,
    alone: change === "full" ? (await pack(tuned)).bytes.byteLength : null,
    exact: change === "full" ? (await pack(tuned, { base, exact: true })).bytes.byteLength : null,
    error: round(errorOf(ofDelta, wanted)),
    int8Error: round(errorOf(ofInt8, wanted)),
    accuracy: {
      base: accuracy(ofBase),
      tuned: accuracy(wanted),
      delta: accuracy(ofDelta),
      int8: accuracy(ofInt8),
    },
    moved: round(movedBy(base.model, tuned.model)),
  };
}

/** Outputs of the model for all test records, which ONNX Runtime computes in batches. */
async function outputsOf(task: Task, bytes: Uint8Array): Promise<Float32Array[]> {
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  const outputs: Float32Array[] = [];
  for (let at = 0; at < task.test.length; at += 100) {
    const batch = task.test.slice(at, at + 100);
    const [type, all] =
      batch[0].values instanceof Float32Array
        ? ([
            "float32",
            Float32Array.from(batch.flatMap(({ values }) => [...values] as number[])),
          ] as const)
        : ([
            "int64",
            BigInt64Array.from(batch.flatMap(({ values }) => [...values] as bigint[])),
          ] as const);
    const input = new Tensor(type, all as never, [batch.length, ...task.dims]);
    const { data } = (await session.run({ [task.input]: input }))[session.outputNames[0]];
    const each = data.length / batch.length;
    for (let i = 0; i < batch.length; i++) {
      outputs.push((data as Float32Array).slice(i * each, i * each + each));
    }
  }
  return outputs;
}

/** Root mean square error over the standard deviation of the wanted outputs, in percent. */
function errorOf(got: readonly Float32Array[], wanted: readonly Float32Array[]): number {
  const all = wanted.flatMap((y) => [...y]);
  const mean = all.reduce((sum, y) => sum + y, 0) / all.length;
  const variance = all.reduce((sum, y) => sum + (y - mean) ** 2, 0);
  const error = got.flatMap((y) => [...y]).reduce((sum, y, i) => sum + (y - all[i]) ** 2, 0);
  return Math.sqrt(error / variance) * 100;
}

/** Pairs of matrices of the same name and shape in both models. */
function* matrices(base: Model, tuned: Model) {
  for (const value of base.graph.constants) {
    const other = [...tuned.graph.constants].find(({ name }) => name === value.name);
    const [from, to] = [value.tensor, other?.tensor];
    if (from?.dtype !== "float32" || !to || from.shape.length < 2) continue;
    yield {
      value,
      shape: from.shape,
      from: from.data() as Float32Array,
      to: to.data() as Float32Array,
    };
  }
}

/** The base with the nearest change of rank `rank` to that of the tuned model in each matrix. */
function lowRank(base: Model, tuned: Model, rank: number): Model {
  const copy = cloneModel(base);
  for (const { value, shape, from, to } of [...matrices(copy, tuned)]) {
    const [rows, columns] = [shape[0], from.length / shape[0]];
    const d = Float32Array.from(to, (x, i) => x - from[i]);
    const { u, s, v, rank: found } = truncatedSvd(d, rows, columns, rank, createRandom(0));
    const changed = Float32Array.from(from, (x, i) => {
      let sum = x;
      const [r, c] = [Math.floor(i / columns), i % columns];
      for (let k = 0; k < found; k++) sum += u[r * found + k] * s[k] * v[c * found + k];
      return sum;
    });
    copy.graph.replace(
      value,
      copy.graph.addConstant(value.name, tensor("float32", shape, changed)),
    );
  }
  return copy;
}

function movedBy(base: Model, tuned: Model): number {
  let [change, all] = [0, 0];
  for (const { from, to } of matrices(base, tuned)) {
    for (let i = 0; i < from.length; i++) {
      change += (to[i] - from[i]) ** 2;
      all += from[i] ** 2;
    }
  }
  return Math.sqrt(change / all) * 100;
}

function round(x: number): number {
  return Math.round(x * 1000) / 1000;
}
