/** @file The training loop on small networks: what is learned, what stays, and going on bit by bit. */
import { beforeAll, describe, expect, test } from "vitest";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { makeNet } from "../../src/nets/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Environment, Event } from "../../src/recipe/environment.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { openWebRuntime } from "../../src/runtime/ort-web.ts";
import { trainOptions } from "../../src/train/options.ts";
import { readWeight } from "../../src/weights/read.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { digits } from "../support/nets.ts";
import { net, quarters } from "../support/quarters.ts";

const training = quarters(256, 3);

async function trained(
  given: Readonly<Record<string, unknown>>,
  changes: Partial<Environment> = {},
  start: Model = net.model,
) {
  const model = cloneModel(start);
  const env = environmentOf(net, { training, ...changes });
  const options = trainOptions.parse({ batch: 32, steps: 12, holdout: 0, rate: 0.01, ...given });
  const run = await trainModel(model, options, {}, env, { label: "1 train", original: start });
  return { model, bytes: concat(writeModel(model)), ...run };
}

const weights = (model: Model) => weightsOf(model).map(({ value }) => readWeight(value)!.values);

function distance(a: Model, b: Model): number {
  const [left, right] = [weights(a), weights(b)];
  let worst = 0;
  for (const [i, values] of left.entries()) {
    for (const [j, value] of values.entries()) {
      worst = Math.max(worst, Math.abs(value - right[i][j]));
    }
  }
  return worst;
}

/** ||b - a|| / ||a|| */
function relativeNoise(a: Float32Array, b: Float32Array): number {
  const length = (values: Float32Array) => Math.hypot(...values);
  return length(b.map((value, i) => value - a[i])) / length(a);
}

describe("training", () => {
  let plain: Awaited<ReturnType<typeof trained>>;
  beforeAll(async () => {
    plain = await trained({});
  });

  test("learns, and the same seed gives the same bytes", async () => {
    expect(plain.curve[0].loss).toBeGreaterThan(1);
    expect(plain.curve.at(-1)!.loss).toBeLessThan(0.3);
    const again = await trained({});
    expect(Buffer.compare(again.bytes, plain.bytes)).toBe(0);
    const other = await trained({}, { seed: 2 });
    expect(Buffer.compare(other.bytes, plain.bytes)).not.toBe(0);
  });

  test("small parts of a batch add up to the same steps", async () => {
    const parts = await trained({ micro: 8 });
    expect(distance(parts.model, plain.model)).toBeLessThan(2e-3);
    expect(Math.abs(parts.curve[0].loss - plain.curve[0].loss)).toBeLessThan(1e-5);
  });

  test("two workers take the same steps as one", async () => {
    const two = await trained({}, { trainThreads: 2 });
    expect(distance(two.model, plain.model)).toBeLessThan(2e-3);
  });

  test("the web build takes the same steps", async () => {
    const web = await openWebRuntime();
    // Adam's first steps are all of one length: rounding alone may turn those of tiny gradients.
    const options = { optimizer: "sgd", rate: 0.02 };
    const here = await trained(options, {}, digits.model);
    const there = await trained(options, { runtime: web, trainThreads: 2 }, digits.model);
    const moved = distance(here.model, digits.model);
    expect(moved).toBeGreaterThan(0.01);
    expect(distance(there.model, here.model)).toBeLessThan(0.01 * moved);
  });

  test("an interrupted run goes on to the very same bytes", async () => {
    const options = { steps: 104, batch: 8, optimizer: "adamw", ema: 0.9, holdout: 0.2 };
    const begun = (given: object, changes: Partial<Environment> = {}) =>
      trained({ ...options, ...given }, changes, digits.model);
    const whole = await begun({});
    const store = new Map<string, Uint8Array>();
    const checkpoints = {
      load: async (name: string) => store.get(name) ?? null,
      save: async (name: string, bytes: Uint8Array) => void store.set(name, bytes.slice()),
      where: (name: string) => `${name}.checkpoint`,
    };
    const controller = new AbortController();
    let looks = 0;
    const interrupted = begun(
      {},
      {
        checkpoints: {
          ...checkpoints,
          async save(name, bytes) {
            await checkpoints.save(name, bytes);
            looks++;
            controller.abort();
          },
        },
        signal: controller.signal,
      },
    );
    await expect(interrupted).rejects.toMatchObject({ code: "aborted" });
    // Once at step 100. The signal is seen at that step, whose state is not saved twice.
    expect(looks).toBe(1);
    const resumed = await begun({}, { checkpoints });
    expect(Buffer.compare(resumed.bytes, whole.bytes)).toBe(0);
    expect(resumed.curve).toEqual(whole.curve);
    await expect(begun({ rate: 0.02 }, { checkpoints })).rejects.toMatchObject({
      code: "bad-checkpoint",
    });
    store.set("1 train", (store.get("1 train") as Uint8Array).slice(0, -5));
    await expect(begun({}, { checkpoints })).rejects.toThrow("cut short");
  });

  test("pruned weights stay zero, whatever form they are stored in; the others move", async () => {
    for (const recipe of [
      "prune-magnitude:sparsity=0.9",
      "prune-magnitude:sparsity=0.3",
      "prune-magnitude:sparsity=0.8 > share-weights:bits=4",
    ]) {
      const env = environmentOf(digits, { training });
      const before = await applyRecipe(digits.model, parseRecipe(recipe), env);
      const steps = parseRecipe("train:steps=4,batch=16,rate=0.01,holdout=0");
      const after = await applyRecipe(before.model, steps, env);
      expect(after.kept).not.toContain(false);
      const [old, now] = [weights(before.model), weights(after.model)];
      for (const [i, values] of old.entries()) {
        const zeros = values.filter((w) => w === 0).length;
        expect(zeros).toBeGreaterThan(0.2 * values.length);
        expect(values.every((w, j) => w !== 0 || now[i][j] === 0)).toBe(true);
        expect(values.some((w, j) => w !== now[i][j])).toBe(true);
      }
      // Shared weights are still shared.
      if (recipe.includes("share")) for (const w of now) expect(new Set(w).size).toBeLessThan(18);
      expect(after.bytes.byteLength).toBeLessThan(1.01 * before.bytes.byteLength + 64);
    }
  });

  test("layers that are left out stay as they are; rates by layer count", async () => {
    const names = weightsOf(net.model).map(({ node }) => node.name);
    const start = weights(net.model);
    const frozen = weights((await trained({ except: [names[0]] })).model);
    expect(frozen[0]).toEqual(start[0]);
    expect(frozen[1]).not.toEqual(start[1]);
    const slow = weights((await trained({ rates: [`${names[0]}=0`] })).model);
    expect(slow[0]).toEqual(start[0]);
    await expect(trained({ rates: ["no-such*=2"] })).rejects.toMatchObject({ code: "no-match" });
  });

  test("progress names the method, in whichever run of its step it is", async () => {
    const what = new Set<string>();
    const onEvent = (event: Event) => void (event.type === "progress" && what.add(event.what));
    for (const label of ["1 train", "2.2 train", "12.10 prune-magnitude"]) {
      const env = environmentOf(net, { training, onEvent });
      const options = trainOptions.parse({ batch: 32, steps: 1, holdout: 0 });
      await trainModel(cloneModel(net.model), options, {}, env, { label, original: net.model });
    }
    expect([...what]).toEqual(["train", "prune-magnitude"]);
  });

  test("a run that explodes says where, and what to do", async () => {
    const wild = trained({ rate: 1e6, optimizer: "sgd", steps: 40 });
    await expect(wild).rejects.toMatchObject({ code: "diverged" });
    await expect(wild).rejects.toThrow(
      /training step \d+: .*largest gradient is that of \S+.*--rate/,
    );
  });

  test("stops when the held-out records get no better, and keeps the best", async () => {
    const run = await trained({ epochs: 40, steps: 0, holdout: 0.25, patience: 3, rate: 0.02 });
    expect(run.steps).toBeLessThan(40 * 6);
    const scores = run.curve.map(({ score }) => score).filter((score) => score !== null);
    expect(run.score).toBe(Math.max(...scores));
  });

  test("held-out records are scored as they are, whatever changes the others", async () => {
    // With next to no learning rate the scores can differ by the images alone.
    const still = { steps: 1, holdout: 0.4, rate: 1e-12, optimizer: "sgd" };
    const plain = await trained(still);
    const changed = await trained({ ...still, augment: "cutout=14+light=0.9+fill=edge" });
    expect(changed.curve[0].loss).not.toBe(plain.curve[0].loss);
    expect(changed.score).toBe(plain.score);
    expect(plain.score).not.toBeNull();
  });

  test("mixup needs a teacher, who scores the blended images; labels are not blended", async () => {
    await expect(trained({ augment: "mixup" })).rejects.toThrow(
      "bad-option: augment: mixup blends images, but not their labels. Give --teacher <model>, or leave mixup out",
    );
    const teacher = cloneModel(net.model);
    expect((await trained({ augment: "mixup", steps: 1 }, { teacher })).steps).toBe(1);
  });

  test("without labels the start itself teaches: repair", async () => {
    const unlabelled = { ...training, labelled: false } as typeof training;
    const bare = {
      ...unlabelled,
      read: async (indices: readonly number[]) => ({
        ...(await training.read(indices)),
        label: null,
      }),
    };
    const env = environmentOf(net, { training: bare });
    const { inputs } = await quarters(64, 9).read(Array.from({ length: 64 }, (_, i) => i));
    const noise = async (recipe: string) => {
      const { model } = await applyRecipe(net.model, parseRecipe(recipe), env);
      const reference = await outputsOf(concat(writeModel(net.model)), inputs);
      const outputs = await outputsOf(concat(writeModel(model)), inputs);
      return relativeNoise(
        Object.values(reference)[0].floats(),
        Object.values(outputs)[0].floats(),
      );
    };
    const hurt = await noise("prune-magnitude:sparsity=0.7");
    const healed = await noise("prune-magnitude:sparsity=0.7 > train:epochs=6,batch=32,rate=0.003");
    expect(healed).toBeLessThan(0.7 * hurt);
  });

  test("a model that nothing has changed is not its own teacher", async () => {
    const bare = tensorDataset((await training.read([0, 1, 2, 3])).inputs);
    for (const [given, changes] of [
      [{ loss: "kd" }, {}],
      [{ loss: "logits" }, {}],
      [{ loss: "features" }, {}],
      [{ loss: "cross-entropy", hints: ["*"] }, {}],
      [{ loss: "kd" }, { training: bare }],
    ] as const) {
      await expect(trained(given, changes)).rejects.toThrow(
        /bad-option: loss \S+: needs a teacher other than the model itself\. Give --teacher/,
      );
    }
    await expect(trained({}, { training: bare })).rejects.toThrow(
      "needs labels, and the data have none. Give labelled data, or --teacher <model>",
    );
    expect(
      (await trained({ loss: "kd", steps: 1 }, { teacher: cloneModel(net.model) })).steps,
    ).toBe(1);
  });

  test("normalization goes by the batch, its statistics follow; left-out layers keep theirs", async () => {
    const start = makeNet("resnet-8", 1);
    const [{ shape }] = start.graph.inputs;
    const [, channels, height, width] = shape as number[];
    const random = createRandom(4);
    const records = 64;
    const values = Float32Array.from(
      { length: records * channels * height * width },
      () => 3 + 2 * random.normal(),
    );
    const labels = Int32Array.from({ length: records }, () => random.int(10));
    const pixels = { image: tensor("float32", [records, channels, height, width], values) };
    const noise = tensorDataset(pixels, tensor("int32", [records], labels), "noise");
    const norms = (model: Model) =>
      model.graph.sorted().filter(({ op }) => op === "BatchNormalization");
    const run = async (given: object) =>
      (await trained({ steps: 3, batch: 32, rate: 0.001, ...given }, { training: noise }, start))
        .model;
    const statistics = (model: Model, layer: number) =>
      norms(model)
        [layer].inputs.slice(3)
        .map((value) => value!.tensor!.floats());

    const [meanBefore, varianceBefore] = statistics(start, 0);
    const moved = await run({});
    const [mean, variance] = statistics(moved, 0);
    expect(mean).not.toEqual(meanBefore);
    expect(variance).not.toEqual(varianceBefore);
    // The batch's own: what the first convolution gives for these records.
    const conv = (await outputsOf(tapped(start), { image: pixels.image })).first;
    const [perChannel, size] = [conv.shape[1], conv.shape[2] * conv.shape[3]];
    const data = conv.floats();
    let sum = 0;
    for (let i = 0; i < records; i++) {
      for (let j = 0; j < size; j++) sum += data[i * perChannel * size + j];
    }
    const momentum = norms(start)[0].float("momentum", 0.9);
    const kept = momentum ** 3;
    const expected = kept * meanBefore[0] + (1 - kept) * (sum / (records * size));
    // Weights move a little, and two batches of three are seen: close, not equal.
    expect(Math.abs(mean[0] - expected)).toBeLessThan(0.05 * Math.abs(expected));

    const first = norms(start)[0].name;
    const frozen = await run({ except: [first] });
    expect(statistics(frozen, 0)).toEqual([meanBefore, varianceBefore]);
    expect(statistics(frozen, 1)).not.toEqual(statistics(start, 1));
    const still = await run({ batchnorm: "frozen" });
    expect(statistics(still, 0)).toEqual([meanBefore, varianceBefore]);
  });
});

/** The model with its first convolution as its output. */
function tapped(model: Model): Uint8Array {
  const copy = cloneModel(model);
  const conv = copy.graph.sorted().find(({ op }) => op === "Conv")!;
  conv.output.name = "first";
  copy.graph.setOutputs([conv.output]);
  return concat(writeModel(copy));
}
