/**
 * @file Measures what training reaches: networks trained from scratch, fine-tuning, repair of
 * damaged models, distillation. Arguments choose the parts to run; the results of the others are
 * kept. Writes results/learn.json and examples/.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { compress, images, load, npz, train } from "../src/node.ts";
import { assets } from "../test/support/assets.ts";
import { readRun, writeRun } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const threads = 2;
const quick = { threads, timingSeconds: 0.3 };

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(assets(`data/cifar10/${part}.zip`) ?? "", imagenet);
const model = (name: string) => load(assets(`models/${name}.onnx`) ?? "");
const arrays = (path: string) => npz(assets(`data/${path}.npz`) ?? "");

/**
 * Trains a benchmark network on MNIST. The best epoch is chosen on held-out training images; the
 * test set is used once, at the end.
 */
async function scratch(net: string, options: Record<string, unknown>, target: number) {
  const start = await load(`net:${net}`);
  const settings = { ...quick, data: "mnist:train", test: "mnist:test", options };
  const began = performance.now();
  const done = await train(start, { ...settings, deterministic: true });
  const seconds = (performance.now() - began) / 1000;
  const path = `examples/${net.replace("-5", "5")}.onnx`;
  writeFileSync(root + path, done.bytes);
  const sha256 = createHash("sha256").update(done.bytes).digest("hex");
  return {
    target,
    reached: scoreOf(done),
    options,
    trainSeconds: secondsOf(done),
    seconds: round(seconds),
    file: path,
    sha256,
  };
}

/** Fine-tunes ResNet-20 on CIFAR-10; `target` is the test accuracy in percent that is wanted. */
async function fineTune(options: Record<string, unknown>, target: number) {
  const start = await model("resnet20_cifar10");
  const settings = { ...quick, data: cifar("train_25k"), test: cifar("test"), options };
  const done = await train(start, settings);
  const { baseline } = done;
  return {
    before: round(baseline.metric?.value ?? 0),
    target,
    reached: scoreOf(done),
    options,
    trainSeconds: secondsOf(done),
  };
}

/**
 * Damages a model on purpose by a recipe and trains it again, on other records than those it is
 * measured on.
 */
async function relearn(name: string, data: string, damage: string, recipe: string, test?: string) {
  const start = await model(name);
  const settings = test
    ? { ...quick, data: arrays(test), calib: arrays(data) }
    : { ...quick, data: arrays(data) };
  const worse = await compress(start, { ...settings, recipe: `${damage} > train:epochs=0` });
  const better = await compress(start, { ...settings, recipe: `${damage} > ${recipe}` });
  return {
    recipe: `${damage} > ${recipe}`,
    metric: better.result.metric?.name,
    original: round(better.baseline.metric?.value ?? 0),
    damaged: scoreOf(worse),
    trained: scoreOf(better),
    loss: better.training?.map(({ curve }) => [
      round(curve[0].loss),
      round(curve.at(-1)?.loss ?? 0),
    ]),
    trainSeconds: secondsOf(better),
  };
}

/** Trains the same student with a teacher and with the labels alone, for three seeds each. */
async function distill(options: Record<string, unknown>) {
  const teacher = await model("resnet20_cifar10_jpegft");
  const seeds = [1, 2, 3];
  const scores = { teacher: [] as number[], labels: [] as number[] };
  for (const seed of seeds) {
    const student = await load("net:resnet-8", { seed });
    const settings = { ...quick, seed, data: cifar("train_25k"), test: cifar("test") };
    const taught = await train(student, {
      ...settings,
      teacher,
      options: { ...options, loss: "kd" },
    });
    const alone = await train(student, {
      ...settings,
      options: { ...options, loss: "cross-entropy" },
    });
    scores.teacher.push(scoreOf(taught));
    scores.labels.push(scoreOf(alone));
    console.log(
      `resnet-8, seed ${seed}: with teacher ${scoreOf(taught)} %, labels alone ${scoreOf(alone)} %`,
    );
  }
  const summary = (values: number[]) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = Math.sqrt(
      values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1),
    );
    return { scores: values, mean: round(mean), deviation: round(spread) };
  };
  return { options, teacher: summary(scores.teacher), labels: summary(scores.labels) };
}

type Done = Awaited<ReturnType<typeof compress>>;
const round = (n: number) => Math.round(n * 1000) / 1000;
const scoreOf = ({ result }: Pick<Done, "result">) => round(result.metric?.value ?? Number.NaN);
const secondsOf = ({ result }: Pick<Done, "result">) => round(result.ease.seconds);

const mnist = { rate: 0.002, schedule: "one-cycle", augment: "shift=1+affine=8" };
const cifarSgd = { optimizer: "nesterov", decay: 0.0005, batch: 128 };
const parts: Record<string, () => Promise<unknown>> = {
  "lenet-300-100": () => scratch("lenet-300-100", { epochs: 20, ...mnist }, 98.36),
  "lenet-5": () => scratch("lenet-5", { epochs: 8, ...mnist }, 99.2),
  "resnet20-200": () =>
    fineTune({ optimizer: "nesterov", rate: 0.01, steps: 200, holdout: 0.02 }, 85.5),
  "resnet20-long": () =>
    fineTune({ ...cifarSgd, rate: 0.02, epochs: 4, augment: "flip+crop=2", holdout: 0.02 }, 87),
  sst2: () =>
    relearn(
      "sst2_transformer",
      "sst2/train",
      "prune-magnitude:sparsity=0.8",
      "train:epochs=3,batch=64,rate=0.0005",
      "sst2/test",
    ),
  stories: () =>
    relearn(
      "stories260k",
      "stories/tinystories_ids",
      "prune-magnitude:sparsity=0.5",
      "train:epochs=6,batch=8,rate=0.001",
    ),
  distillation: () =>
    distill({
      epochs: 3,
      ...cifarSgd,
      rate: 0.05,
      augment: "flip+crop=4",
      holdout: 0.02,
      keep: "last",
    }),
};

const chosen = process.argv.slice(2);
for (const [name, run] of Object.entries(parts)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  if (!name.startsWith("lenet") && !assets("models")) continue;
  const found = await run();
  console.log(name, found);
  // The file is read only now, because another process may have added its part in the meantime.
  const before = readRun<object>("learn") ?? {};
  writeRun("learn", { ...before, command: "npm run bench:learn", threads, [name]: found });
}
process.exit(0);
