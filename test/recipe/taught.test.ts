/** @file A teacher's outputs are kept from one run to the next, by what it sees. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { fileCache } from "../../src/node/checkpoints.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { OPSET } from "../../src/onnx/upgrade.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferNode } from "../../src/ops/infer.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { keysOf, openTaught } from "../../src/recipe/taught.ts";
import { trainModel } from "../../src/recipe/train.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { trainOptions } from "../../src/train/options.ts";
import { environmentOf, runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { net } from "../support/quarters.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-taught-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** x [N, 4] -> 3 scores. */
function linear(seed: number): Model {
  const random = createRandom(seed);
  const graph = new Graph("linear");
  const x = graph.addInput("x", "float32", ["N", 4]);
  const g = build(graph, "layer", inferNode);
  const values = Float32Array.from({ length: 12 }, () => random.normal());
  graph.setOutputs([g.MatMul(x, g.constant(values, { shape: [4, 3] }))]);
  return createModel(graph, OPSET);
}

const [start, teacher] = [linear(1), linear(2)];
const records = (seed: number) => {
  const random = createRandom(seed);
  const x = Float32Array.from({ length: 96 }, () => random.normal());
  return tensorDataset({ x: tensor("float32", [24, 4], x) });
};

/** The native engine, which counts the runs of models that give a teacher's outputs. */
function counting(): Runtime & { asked: number } {
  const own = {
    ...runtime,
    asked: 0,
    async open(...args: Parameters<Runtime["open"]>) {
      const session = await runtime.open(...args);
      const run: typeof session.run = async (...given) => {
        const outputs = await session.run(...given);
        if (Object.keys(outputs)[0].startsWith("tersor_taught")) own.asked++;
        return outputs;
      };
      return { ...session, inputs: session.inputs, run, close: () => session.close() };
    },
  };
  return own;
}

async function run(changes: Partial<Environment>, given: object = {}) {
  const model = cloneModel(start);
  const own = counting();
  const checkpoints = {
    load: async () => null,
    async save() {},
    where: () => "",
    cache: fileCache(folder),
  };
  const env = environmentOf(net, {
    ...{ training: records(3), teacher, checkpoints, runtime: own },
    ...changes,
  });
  const options = { loss: "kd", batch: 8, epochs: 2, holdout: 0, rate: 0.01, ...given };
  const context = { label: "1 train", original: start };
  await trainModel(model, trainOptions.parse(options), {}, env, context);
  return { asked: own.asked, bytes: concat(writeModel(model)) };
}

test("the second run asks the teacher nothing, and gives the same bytes", async () => {
  const first = await run({});
  expect(first.asked).toBe(3);
  expect(readdirSync(folder)).toHaveLength(1);
  const second = await run({});
  expect(second.asked).toBe(0);
  expect(Buffer.compare(second.bytes, first.bytes)).toBe(0);
  // A part of the same records is known as well, in whatever batches it comes.
  expect((await run({}, { holdout: 0.25, batch: 5 })).asked).toBe(0);
  // Other records, another teacher and other passes of it are not.
  expect((await run({ training: records(4) })).asked).toBe(3);
  expect((await run({ teacher: linear(3) })).asked).toBe(3);
  expect(readdirSync(folder)).toHaveLength(2);
});

test("keys are those of a record, wherever it stands in a batch", async () => {
  const record = (values: number[]) => tensor("float32", [values.length / 2, 2], values);
  const [a, b, again] = await keysOf({ x: record([1, 2, 3, 4, 1, 2]) }, 3);
  expect(a).toBe(again);
  expect(a).not.toBe(b);
  expect(await keysOf({ x: record([3, 4]) }, 1)).toEqual([b]);
  // The same bytes of another type or shape are another record.
  expect(await keysOf({ x: tensor("float32", [1, 1, 2], [1, 2]) }, 1)).not.toEqual([a]);
});

test("a file that is cut short gives the rows that are whole", async () => {
  const store = new Map<string, Uint8Array>();
  const cache = {
    load: async (key: string) => store.get(key) ?? null,
    save: async (key: string, bytes: Uint8Array) => void store.set(key, bytes),
  };
  const key = (letter: string) => letter.repeat(32);
  const first = await openTaught(new Uint8Array([1]), cache);
  first.set(key("a"), new Float32Array([1, 2]));
  first.set(key("b"), new Float32Array([3, 4]));
  await first.save();
  const [[name, bytes]] = store;
  store.set(name, bytes.slice(0, -1));
  const second = await openTaught(new Uint8Array([1]), cache);
  expect(Array.from(second.get(key("a")) ?? [])).toEqual([1, 2]);
  expect(second.get(key("b"))).toBeUndefined();
});
