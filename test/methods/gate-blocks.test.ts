/** @file Gated blocks: which records skip a block, what they get, and that others get what they got. */
import { describe, expect, test } from "vitest";
import type { Context, Trained, TrainHooks } from "../../src/context.ts";
import { gateable } from "../../src/evidence/gates.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { trainedGates } from "../../src/learned/gates.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { constantValue } from "../../src/ops/constant.ts";
import { inferNode } from "../../src/ops/infer.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import type { Opened, StepFeed } from "../../src/weights/latent.ts";
import { chosenLayers } from "../../src/weights/select.ts";
import { apply, environmentOf, outputsOf, runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(4);
const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());

const WIDTH = 8;
const DOWN = normal(WIDTH * WIDTH);
const SCORES = normal(WIDTH * 3);

/** y = Relu(x + D Relu(U x)), U reading feature 0 alone: the block adds nothing where it is <= 0. */
const model = layerModel(["N", WIDTH], (g: Builder, x: Value) => {
  const up = new Float32Array(WIDTH * WIDTH);
  up.fill(2, 0, WIDTH);
  const f = g.MatMul(
    g.Relu(g.MatMul(x, g.constant(up, { shape: [WIDTH, WIDTH] }))),
    g.constant(DOWN, { shape: [WIDTH, WIDTH] }),
  );
  return g.MatMul(g.Relu(g.Add(x, f)), g.constant(SCORES, { shape: [WIDTH, 3] }));
});

/** Scores of one record, with or without the block. */
function scores(x: Float32Array, runs: boolean): number[] {
  const hidden = Math.max(0, 2 * x[0]);
  const y = [...x].map((value, i) => {
    let f = 0;
    for (let j = 0; j < WIDTH; j++) f += hidden * DOWN[j * WIDTH + i];
    return Math.max(0, value + (runs ? f : 0));
  });
  return [0, 1, 2].map((c) => y.reduce((sum, v, i) => sum + v * SCORES[i * 3 + c], 0));
}

const records = 200;
const x = normal(records * WIDTH);
const dataset = tensorDataset({ x: tensor("float32", [records, WIDTH], x) });
const env = environmentOf(nets[0], {
  calibration: dataset,
  training: dataset,
  feeds: { x: tensor("float32", [1, WIDTH], x.slice(0, WIDTH)) },
});

describe("a block that half of the records do not need", () => {
  test("is skipped for these, one by one, and runs for all others", async () => {
    const { bytes, warnings } = await apply(model, "gate-blocks", { flips: 0 }, env);
    expect(warnings.join()).toMatch(/skipped on held-out records: layer1 \d/);
    let skipped = 0;
    for (let n = 0; n < 40; n++) {
      const row = x.slice(n * WIDTH, (n + 1) * WIDTH);
      const { y } = await outputsOf(bytes, { x: tensor("float32", [1, WIDTH], row) });
      const error = (runs: boolean) =>
        Math.max(...scores(row, runs).map((s, c) => Math.abs(s - y.floats()[c])));
      expect(Math.min(error(true), error(false))).toBeLessThan(1e-4);
      if (error(false) > 1e-4) continue;
      // Where both agree the gate cannot be seen; with a positive feature it must have run.
      if (error(true) > 1e-4) expect(row[0]).toBeLessThan(0.3);
      skipped++;
    }
    expect(skipped).toBeGreaterThan(10);
  });

  test("runs for a batch if one of its records wants it", async () => {
    const { bytes } = await apply(model, "gate-blocks", { flips: 0 }, env);
    const rows = [normal(WIDTH), normal(WIDTH)];
    [rows[0][0], rows[1][0]] = [-2, 3];
    const { y } = await outputsOf(bytes, {
      x: tensor("float32", [2, WIDTH], Float32Array.from([...rows[0], ...rows[1]])),
    });
    const expected = rows.flatMap((row) => scores(row, true));
    for (const [i, value] of expected.entries()) expect(y.floats()[i]).toBeCloseTo(value, 3);
  });

  test("is refused where nothing tells classes apart", async () => {
    const many = layerModel(["N", 4, WIDTH], (g, v) =>
      g.Add(v, g.MatMul(v, g.constant(DOWN, { shape: [WIDTH, WIDTH] }))),
    );
    const given = environmentOf(nets[0], {
      calibration: tensorDataset({ x: tensor("float32", [4, 4, WIDTH], normal(16 * WIDTH)) }),
      feeds: { x: tensor("float32", [1, 4, WIDTH], normal(4 * WIDTH)) },
    });
    const { skipped } = await applyRecipe(many, parseRecipe("gate-blocks"), given);
    expect(skipped[0].reason).toMatch(/one float32 score per class/);
  });
});

describe("gates that are trained with the network", () => {
  const aim = { work: 0.25, penalty: 3, fit: records };
  const training = { batch: 4, steps: 1 };
  const blocks = () => gateable(model, chosenLayers(model, { only: [], except: [] }), context);
  const context = {
    observe: createObserve(
      env,
      () => {},
      "test",
      () => {},
    ),
    skip() {},
  } as Partial<Context> as Context;
  const start = { weight: Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0), bias: 5 };

  /** What the training is asked to do. */
  async function asked() {
    let given: Parameters<Context["train"]> | undefined;
    const train: Context["train"] = async (...all) => {
      given = all;
      return {} as Trained;
    };
    const found = await trainedGates(model, blocks(), [start], aim, training, {
      ...context,
      train,
    });
    return { found, given: given as Required<Parameters<Context["train"]>> };
  }

  test("start where they ask for the share of the work that is wanted", async () => {
    const { found } = await asked();
    const [{ weight, bias }] = found.gates;
    expect([...weight]).toEqual([...start.weight]);
    const runs = Array.from({ length: records }, (_, n) => x[n * WIDTH] + bias > 0);
    // One record's score is the threshold itself, but for rounding.
    expect(Math.abs(runs.filter(Boolean).length - records / 4)).toBeLessThanOrEqual(1);
    expect(found.learned.size).toBe(0);
  });

  test("run a record's block with the probability sigmoid(s), and after training if s > 0", async () => {
    const { given } = await asked();
    const [{ latent, value }] = given[2].latents as readonly Opened[];
    const graph = new Graph("gate");
    const s = graph.addInput("s", "float32", [3, 1]);
    const noise = graph.addInput("noise", "float32", [4, 1]);
    const g = build(graph, "", inferNode);
    graph.setOutputs([latent.build(g, {}, s, { noise })]);
    const feed = latent.feeds?.noise as StepFeed;
    const session = await runtime.open(
      { bytes: concat(writeModel({ ...model, graph })) },
      { threads: 1 },
    );
    const source = createRandom(3);
    const ran = [0, 0, 0];
    const levels = [-1, 0, 2];
    for (let step = 0; step < 2000; step++) {
      const feeds = { s: tensor("float32", [3, 1], levels), noise: feed.at(step, source) };
      const [z] = Object.values(await session.run(feeds));
      for (const [i, each] of z.floats().entries()) ran[i] += each / 2000;
    }
    await session.close();
    for (const [i, level] of levels.entries()) {
      // Four deviations of 2000 draws.
      expect(Math.abs(ran[i] - 1 / (1 + Math.exp(-level)))).toBeLessThan(
        4 * Math.sqrt(0.25 / 2000),
      );
    }
    const close = latent.close({}, value) as (g: Builder, x: Value) => Value;
    const scores = g.constant([-0.5, 0.5], { shape: [2, 1] });
    expect([...(constantValue(close(g, scores))?.floats() ?? [])]).toEqual([0, 1]);
  });

  test("pay for work above and below the share that is wanted", async () => {
    const { given } = await asked();
    const { penalty } = given[2] as Required<Pick<TrainHooks, "penalty">>;
    const cost = (z: readonly number[]) => {
      const g = build(new Graph("penalty"), "", inferNode);
      const student = { outputs: [], of: () => g.constant(z, { shape: [z.length, 1] }) };
      return constantValue(penalty(g, student, {}))?.floats()[0];
    };
    expect(cost([1, 1, 0, 0])).toBeCloseTo(3 * 0.25 ** 2, 6);
    expect(cost([1, 0, 0, 0])).toBeCloseTo(0, 6);
    expect(cost([0, 0, 0, 0])).toBeCloseTo(3 * 0.25 ** 2, 6);
  });

  test("skip the block for about the other records, with the answers of the model", async () => {
    const options = { work: 0.5, flips: 0, steps: 60, batch: 20, rate: 0.003 };
    const { bytes, warnings } = await apply(model, "gate-blocks", options, env);
    const [, share] = warnings.join().match(/layer1 ([\d.]+) %; a record/) ?? [];
    expect(Number(share)).toBeGreaterThan(30);
    expect(Number(share)).toBeLessThan(70);
    let same = 0;
    const best = (all: ArrayLike<number>) => Array.from(all).indexOf(Math.max(...Array.from(all)));
    for (let n = 0; n < records; n++) {
      const row = x.slice(n * WIDTH, (n + 1) * WIDTH);
      const { y } = await outputsOf(bytes, { x: tensor("float32", [1, WIDTH], row) });
      if (best(y.floats()) === best(scores(row, true))) same++;
    }
    expect(same / records).toBeGreaterThan(0.9);
  });
});
