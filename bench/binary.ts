/**
 * @file What learned weights of one to four bits reach: ResNet-20 on CIFAR-10, and LeNet-5 with batch
 * normalizations on MNIST. Arguments choose rows by name (`resnet20/twn`, `lenet5`); the results of the
 * others are kept. Writes results/binary.json. All rows take about an hour on two quiet cores.
 *
 * Rates and lengths are those that earlier experiments on training records gave. The test set is only
 * measured on.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { defineNet } from "../src/nets/net.ts";
import { compress, evaluate, images, type Loaded, load, train } from "../src/node.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { assets } from "../test/support/assets.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/binary/`;
mkdirSync(work, { recursive: true });
const file = `${root}bench/results/binary.json`;
const threads = Number(process.env.BINARY_THREADS ?? 2);
const quick = { threads, timingSeconds: 0.2, deterministic: true } as const;

/** A row: a recipe, tried with each seed. */
interface Plan {
  readonly recipe: string;
  readonly seeds?: readonly number[];
  /** At most this drop, or this error, in percent points. */
  readonly wanted?: number;
}

/** One row of bench/results/binary.json. */
export interface BinaryRow extends Plan {
  /** Of each seed. */
  readonly accuracy: readonly number[];
  readonly original: number;
  /** Means over the seeds. */
  readonly drop: number;
  readonly error: number;
  readonly bytes: { readonly onnx: number; readonly packed: number };
  readonly trainSeconds: number;
  /** CPU time of one seed, with the measurements of original and product. */
  readonly cpuSeconds: number;
}

const kd = "loss=kd,alpha=0.7,temperature=2";
const runOf = (steps: number, batch: number): string =>
  `steps=${steps},batch=${batch},warmup=30,${kd},augment=flip+crop=2`;
const cifarRun = runOf(375, 128);
const mnistRun = (rate: number): string =>
  `steps=2400,batch=100,rate=${rate},warmup=30,${kd},augment=shift=1+affine=8`;
const three = [1, 2, 3];

const plans: Record<string, Record<string, Plan>> = {
  resnet20: {
    twn: { recipe: `ternarize-twn:rate=0.001,${cifarRun}`, wanted: 2.2 },
    bwn: { recipe: `binarize-bwn:rate=0.002,${cifarRun}`, wanted: 4.3 },
    ttq: { recipe: `ternarize-ttq:rate=0.001,${cifarRun}` },
    lab: { recipe: `binarize-loss-aware:rate=0.002,scales=channel,${cifarRun}` },
    lat: { recipe: `binarize-loss-aware:bits=2,rate=0.001,scales=channel,${cifarRun}` },
    xnor: { recipe: `binarize-xnor:rate=0.002,${cifarRun}` },
    bnn: { recipe: `binarize-bnn:rate=0.005,ends=32,${cifarRun}` },
    lsq4: { recipe: `quantize-lsq:bits=4,activations=4,rate=0.0005,${cifarRun}`, wanted: 0.6 },
    lsq3: { recipe: `quantize-lsq:bits=3,activations=3,rate=0.001,${runOf(500, 64)}`, wanted: 1.6 },
    lsq2: { recipe: `quantize-lsq:bits=2,activations=2,rate=0.0015,${runOf(750, 64)}`, wanted: 6 },
    pact4: { recipe: `quantize-pact:bits=4,activations=4,rate=0.0005,${cifarRun}` },
  },
  lenet5: {
    connect: { recipe: `binarize-connect:${mnistRun(0.005)}`, seeds: three, wanted: 1 },
    bnn: { recipe: `binarize-bnn:${mnistRun(0.005)}`, wanted: 2 },
    // All layers in one bit and one scale a layer, as in the row above that it is compared with.
    lab: { recipe: `binarize-loss-aware:ends=1,${mnistRun(0.005)}`, seeds: three },
    bwn: { recipe: `binarize-bwn:${mnistRun(0.002)}` },
    xnor: { recipe: `binarize-xnor:${mnistRun(0.002)}` },
    twn: { recipe: `ternarize-twn:${mnistRun(0.001)}` },
    ttq: { recipe: `ternarize-ttq:${mnistRun(0.001)}` },
  },
};

/** LeNet-5 with a normalization before each activation: conv -> pool -> norm -> relu. */
const lenet5 = defineNet({
  title: "LeNet-5 with batch normalizations",
  cite: "Courbariaux et al. 2016, arXiv 1602.02830, section 2",
  input: [1, 28, 28],
  classes: 10,
  draw({ conv, maxPool, dense, relu, norm }, image, classes) {
    const low = relu(norm(maxPool(conv(image, 20, 5, { pad: 0 }), 2)));
    const high = relu(norm(maxPool(conv(low, 50, 5, { pad: 0 }), 2)));
    return norm(dense(relu(norm(dense(high, 500))), classes));
  },
});

async function startOf(net: string): Promise<Loaded | null> {
  if (net === "resnet20") {
    const path = assets("models/resnet20_cifar10_jpegft.onnx");
    return path ? load(path) : null;
  }
  const path = `${work}lenet5.onnx`;
  if (!existsSync(path)) {
    const drawn = concat(writeModel(lenet5.make(createRandom(1))));
    const options = {
      epochs: 6,
      rate: 0.002,
      schedule: "one-cycle",
      augment: "shift=1+affine=8",
    } as const;
    const mnist = { data: "mnist:train", test: "mnist:test" };
    // Simplifying would fold the normalizations into the layers.
    const around = { ...quick, ...mnist, simplify: false };
    const done = await train(await load(drawn), { ...around, options });
    writeFileSync(path, done.bytes);
  }
  return load(path);
}

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(assets(`data/cifar10/${part}.zip`) ?? "", imagenet);
const recordsOf = (net: string) =>
  net === "resnet20"
    ? { data: cifar("test"), calib: cifar("train_25k") }
    : { data: "mnist:test", calib: "mnist:train" };

async function rowOf(net: string, plan: Plan, start: Loaded): Promise<BinaryRow> {
  const records = recordsOf(net);
  const accuracy: number[] = [];
  let [original, trainSeconds, onnx, packed] = [0, 0, 0, 0];
  const before = process.cpuUsage();
  for (const seed of plan.seeds ?? [1]) {
    const around = { ...quick, ...records, seed, teacher: start };
    const done = await compress(start, { ...around, recipe: plan.recipe });
    for (const warning of done.result.warnings) console.log(warning);
    // Measure what a user gets: the .tersor file, unpacked again.
    const bytes = done.pack();
    const product = `${work}${net}.tersor`;
    writeFileSync(product, bytes);
    const against = { ...quick, against: start, data: records.data };
    const { metric } = await evaluate(await load(product), against);
    accuracy.push(metric?.value ?? 0);
    original = metric?.baseline ?? 0;
    trainSeconds += done.training?.reduce((sum, { seconds }) => sum + seconds, 0) ?? 0;
    [onnx, packed] = [done.bytes.length, bytes.length];
  }
  const mean = accuracy.reduce((sum, x) => sum + x, 0) / accuracy.length;
  const { user, system } = process.cpuUsage(before);
  return {
    ...plan,
    accuracy: accuracy.map(round),
    original: round(original),
    drop: round(original - mean),
    error: round(100 - mean),
    bytes: { onnx, packed },
    trainSeconds: Math.round(trainSeconds / accuracy.length),
    cpuSeconds: Math.round((user + system) / 1e6 / accuracy.length),
  };
}

const round = (x: number): number => Math.round(100 * x) / 100;

const wanted = process.argv.slice(2);
const results: Record<string, Record<string, BinaryRow>> = existsSync(file)
  ? JSON.parse(readFileSync(file, "utf8")).rows
  : {};
for (const [net, rows] of Object.entries(plans)) {
  for (const [name, plan] of Object.entries(rows)) {
    const isWanted = wanted.some((text) => text === net || text === `${net}/${name}`);
    if (wanted.length > 0 && !isWanted) continue;
    const start = await startOf(net);
    if (!start) continue;
    const row = await rowOf(net, plan, start);
    results[net] = { ...results[net], [name]: row };
    console.log(`${net}/${name}`, JSON.stringify(row));
    const machine = `${cpus()[0].model}, ${threads} threads`;
    const all = { command: "npm run bench:binary", machine, rows: results };
    writeFileSync(file, `${JSON.stringify(all, null, 1)}\n`);
  }
}
process.exit(0);
