/**
 * @file Measures what structured pruning reaches on real networks: accuracy, speed, size. Arguments
 * choose the parts to run; the results of the others are kept. Writes results/prune.json.
 *
 * Everything is chosen on calibration or held-out training records; the records that give the
 * accuracy are used for nothing else.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { memorySource, openZip } from "../src/data/zip.ts";
import type { Model } from "../src/ir/model.ts";
import { tensor } from "../src/ir/tensor.ts";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { compress, images, type Loaded, load } from "../src/node.ts";
import { createRandom } from "../src/numeric/random.ts";
import { readModel } from "../src/onnx/read.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { costModel } from "../src/ops/cost.ts";
import { inferModel } from "../src/ops/infer.ts";
import { simplify } from "../src/recipe/trial.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { apply, environmentOf, outputsOf } from "../test/support/apply.ts";
import { assets } from "../test/support/assets.ts";
import { relativeError } from "../test/support/error.ts";
import { nets } from "../test/support/nets.ts";
import { feedsOf, type RealModel, realModels } from "../test/support/real-models.ts";
import { raw } from "./raw.ts";
import { readRun, writeRun } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const products = `${root}tersor-out/prune/`;
mkdirSync(products, { recursive: true });
const threads = 2;
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(assets(`data/cifar10/${part}.zip`) ?? "", imagenet);
const model = (name: string) => load(assets(`models/${name}.onnx`) ?? "");
const runtime = await openNodeRuntime();

const round = (n: number) => Math.round(n * 1000) / 1000;
type Done = Awaited<ReturnType<typeof compress>>;

/**
 * The median of five timings, each in new sessions: the speed of a session depends by some percent
 * on where its memory is allocated.
 */
async function speedup(original: Loaded, bytes: Uint8Array, batch: number) {
  const rounds = [];
  for (let i = 0; i < 5; i++) rounds.push(await speedOnce(original, bytes, batch));
  rounds.sort((a, b) => a.ratio - b.ratio);
  return { ...rounds[2], rounds: rounds.map(({ ratio }) => ratio) };
}

/** Times the simplified original and a product in turn, on random inputs, with one thread. */
async function speedOnce(original: Loaded, bytes: Uint8Array, batch: number) {
  const { name, shape } = simplify(original.model).graph.inputs[0];
  const dims = [batch, ...(shape ?? []).slice(1).map(Number)];
  const random = createRandom(1);
  const size = dims.reduce((a, b) => a * b, 1);
  const feeds = { [name]: tensor("float32", dims, Array.from({ length: size }, random.normal)) };
  const files = [concat(writeModel(simplify(original.model))), bytes];
  const candidates = await Promise.all(
    files.map(async (each, i) => {
      const session = await runtime.open({ bytes: each }, { threads: 1 });
      return { name: String(i), run: () => session.run(feeds), close: () => session.close() };
    }),
  );
  const options = { platform: nodePlatform, budgetMs: 8000, minRuns: 20 };
  const [before, after] = await measureLatency(candidates, options);
  for (const { close } of candidates) await close();
  const { ratio } = after;
  return {
    batch,
    cpuMs: [before, after].map(({ latency }) => round(latency.median)),
    ratio: round(ratio.value),
    ci95: ratio.ci95?.map(round),
  };
}

/** MACs of one record. */
function macsOf(of: Model): number {
  inferModel(of);
  const [{ name, shape }] = of.graph.inputs;
  return Number(
    costModel(of, { dims: { [name]: [1, ...(shape ?? []).slice(1).map(Number)] } }).macs,
  );
}

/** Applies a recipe and measures it; `target` is what was wanted, and is only written down. */
async function pruned(
  original: Loaded,
  data: Parameters<typeof compress>[1],
  recipe: string,
  target: object,
  batch: number,
  name: string,
) {
  const before = process.cpuUsage();
  const done: Done = await compress(original, {
    timingSeconds: 0.3,
    ...data,
    recipe: raw(recipe),
  });
  const { user, system } = process.cpuUsage(before);
  writeFileSync(`${products}${name}.onnx`, done.bytes);
  const { result, baseline } = done;
  const start = simplify(original.model);
  return {
    recipe,
    target,
    metric: result.metric?.name,
    original: round(baseline.metric?.value ?? 0),
    reached: round(result.metric?.value ?? 0),
    drop: round((baseline.metric?.value ?? 0) - (result.metric?.value ?? 0)),
    macs: round(macsOf(readModel(done.bytes, { name })) / macsOf(start)),
    bytes: [concat(writeModel(start)).length, done.bytes.length],
    parameters: [baseline.params, result.params],
    speed: await speedup(original, done.bytes, batch),
    training: done.training.map(({ steps, seconds, curve }) => ({
      steps,
      seconds: round(seconds),
      heldOut: curve.flatMap(({ score }) => (score == null ? [] : [round(score)])),
    })),
    // CPU time of the whole command over all cores: pruning, repair, training and measurements.
    cpuSeconds: round((user + system) / 1e6),
    skipped: result.skipped.length,
    warnings: result.warnings,
  };
}

const tuned =
  "loss=kd,optimizer=nesterov,rate=0.02,clip=4,decay=0.0005,batch=128,augment=flip+crop=2,holdout=0.04,batchnorm=unfold";
const resnet = async (recipe: string, target: object, name: string) =>
  pruned(
    await model("resnet20_cifar10_jpegft"),
    { threads, data: cifar("test"), calib: cifar("train_25k") },
    recipe,
    target,
    16,
    name,
  );

// The last stage keeps its channels. It has most of the parameters, and accuracy on the held-out
// records was clearly better that way.
const parts: Record<string, () => Promise<unknown>> = {
  "resnet20-half": () =>
    resnet(
      `prune-blocks:ratio=0.43,repair=none > prune-channels:repair=least-squares,ratio=0.5,only=/layer1/*|/layer2/* > train:${tuned},epochs=12`,
      { macs: 0.5, drop: 1.5, speed: 1.5 },
      "resnet20-half",
    ),
  "resnet20-1.4": () =>
    resnet(
      `prune-blocks:ratio=0.29,repair=none > prune-channels:repair=least-squares,ratio=0.5,only=/layer1/layer1.1/* > train:${tuned},epochs=10`,
      { macs: 1 / 1.4, drop: 0.5 },
      "resnet20-1.4",
    ),
};

/** LeNet-5, of which only filters and neurons are removed. */
parts["lenet-5"] = async () =>
  pruned(
    await load(`${root}examples/lenet5.onnx`),
    { threads, data: "mnist:test", calib: "mnist:train" },
    [
      ...["conv1|conv2,ratio=0.5", "conv2|fc1,ratio=0.52", "fc1|fc2,ratio=0.82"].map(
        (only) =>
          `prune-channels:repair=least-squares,round=1,criterion=obs,records=512,only=${only}`,
      ),
      "train:loss=kd,epochs=4,rate=0.002,augment=shift=1+affine=8",
    ].join(" > "),
    { parameters: 0.1, drop: 0.2 },
    1,
    "lenet-5",
  );

/**
 * Divides the 500 images into two folders, by turns: `calib` for calibration and training, `data`
 * to measure on.
 */
function halves(): { calib: string; data: string } {
  const archive = memorySource(readFileSync(assets("data/imagenet_even.zip") ?? ""));
  const files = openZip(archive, "imagenet_even.zip");
  const read = (name: string) => Buffer.from(files.get(name)?.read() ?? []);
  const [head, ...rows] = read("labels.csv").toString().trim().split("\n");
  const [calib, data] = ["calib", "judge"].map((name, half) => {
    const folder = `${products}imagenet-${name}`;
    mkdirSync(folder, { recursive: true });
    const mine = rows.filter((_, i) => i % 2 === half);
    writeFileSync(`${folder}/labels.csv`, `${[head, ...mine].join("\n")}\n`);
    for (const row of mine) {
      const [image] = row.split(",");
      writeFileSync(`${folder}/${image}`, read(image));
    }
    return folder;
  });
  return { calib, data };
}

// The model runs and is timed with one thread, as in `speedup`; training uses all cores.
const mobilenet = async (name: string, recipe: string[], target: object, part: string) => {
  const { calib, data } = halves();
  const options = { mean: [128], std: [128], scale: 1, labelOffset: 1 };
  const records = { data: images(data, options), calib: images(calib, options) };
  return pruned(await model(name), records, recipe.join(" > "), target, 16, part);
};

// Settings were chosen on 80 of the 250 images of `calib`, with the other 170 for calibration.
const fitted = "prune-channels:allocation=sensitivity,criterion=obs,round=16";
const views = "holdout=0,augment=flip+zoom=0.5+light=0.2";
// The last layers are not trained: they have only hundreds of positions per image to learn from,
// the first ones thousands.
const late = "t_204 t_210 t_216 t_219 t_225 t_231 t_235 t_241 t_247 t_251 t_257 t_263 t_266 t_273*"
  .split(" ")
  .map((name) => `${name}=0`)
  .join("|");
parts["mobilenet-v2"] = () =>
  mobilenet(
    "mobilenet_v2_1.0_224_dequant",
    [
      "fill-channels:round=16",
      "open-clips:tolerance=0.1",
      `${fitted},budget=latency<=0.865`,
      `train:loss=features,rate=0.0005,batch=8,${views},epochs=60,hints=t_59|t_106`,
      `train:loss=logits,hintweight=10,rate=0.0002,batch=16,${views},epochs=60,rates=${late},hints=t_59|t_106|t_169|t_216`,
    ],
    { speed: 1.3, drop: 3 },
    "mobilenet-v2",
  );
// The layers to prune are named: they are those that allocation=sensitivity chose first. (Under a
// budget of time the choice differs from run to run.) The small changes of open-clips and
// prune-taps are trained first; then every layer that keeps its width gets its original output as a
// hint.
const apart = "t_73 t_79 t_85 t_91 t_97 t_109 t_115 t_121 t_127 t_133".split(" ").join("|");
const wide = (...others: string[]) =>
  ["t_37", "t_49", "t_61", ...others, "t_133", "t_145", "t_157"].join("|");
const taught = `train:loss=logits,batch=16,holdout=0,augment=flip+zoom=0.75+light=0.2+mixup,hintweight=160,rates=t_164*=0`;
parts["mobilenet-v1"] = () =>
  mobilenet(
    "mobilenet_v1_0.25_128_dequant",
    [
      "fill-channels",
      "open-clips:tolerance=0.05",
      "prune-taps:only=t_1,tolerance=0.01",
      `${taught},rate=0.0003,epochs=100,hints=${wide("t_73", "t_85", "t_97", "t_109", "t_121")}`,
      `prune-channels:criterion=obs,ratio=0.125,round=16,only=${apart}`,
      `${taught},rate=0.0005,epochs=500,hints=${wide("t_97")}`,
    ],
    { speed: 1.3, drop: 3 },
    "mobilenet-v1",
  );

/** A network that was trained to have dead channels: only these may be removed. */
parts.distiller = async () => {
  const [real] = realModels.filter(({ name }) => name.startsWith("distiller"));
  return shrink(real, { ratio: 0 });
};

parts.models = async () => {
  const rows: Record<string, unknown> = {};
  for (const real of realModels)
    if (real.path) rows[real.name] = await shrink(real, { ratio: 0.3 });
  return rows;
};

/** Prunes a model without data and compares it with the original: sizes, MACs, error, skips. */
async function shrink({ path, shapes }: RealModel, options: Record<string, unknown>) {
  const loaded = await load(path as string);
  const start = simplify(loaded.model);
  inferModel(start);
  const env = environmentOf(nets[0], { calibration: null });
  const { model: done, bytes, skipped } = await apply(start, "prune-channels", options, env);
  const before = concat(writeModel(start));
  const [feeds] = shapes.map((shape) => feedsOf(shape));
  const [expected, actual] = [await outputsOf(before, feeds), await outputsOf(bytes, feeds)];
  const macs = (of: Model): number => Number(costModel(of, { dims: shapes[0] }).macs);
  const reasons = new Map<string, string[]>();
  for (const { node, reason } of skipped) {
    reasons.set(reason, [...(reasons.get(reason) ?? []), node]);
  }
  return {
    bytes: [before.length, bytes.length],
    macs: [macs(start), macs(done)],
    relativeError: relativeError(expected, actual),
    refused: Object.fromEntries(
      [...reasons].map(([reason, nodes]) => [reason, [...new Set(nodes)].join(", ")]),
    ),
  };
}

const chosen = process.argv.slice(2);
for (const [name, run] of Object.entries(parts)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  if (!assets("models")) continue;
  const found = await run();
  console.log(name, found);
  const before = readRun<object>("prune") ?? {};
  writeRun("prune", { ...before, command: "npm run bench:prune", threads, [name]: found });
}
process.exit(0);
