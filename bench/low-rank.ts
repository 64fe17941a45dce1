/**
 * @file The survey's table of low rank, measured: BN (separable filters), CP, Tucker and SVD on
 * ResNet-20, a small VGG and Network in Network, CIFAR-10 (JPEG images). Arguments choose nets and rows
 * (`resnet-20`, `vgg/tucker`; `vgg/start` trains the original alone); rows that are there already are kept. Writes results/low-rank.json.
 *
 * Networks without published weights are trained first, once, into tersor-out/low-rank. Ranks are
 * chosen and weights trained on the training records; the test set is only measured on.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { last } from "../src/nets/layers.ts";
import { colour, defineNet } from "../src/nets/net.ts";
import { compress, images, type Loaded, load, train } from "../src/node.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { assets } from "../test/support/assets.ts";
import { readRun, writeRun } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/low-rank/`;
mkdirSync(work, { recursive: true });
const threads = Number(process.env.LOW_RANK_THREADS ?? 2);
const around = { threads, timingSeconds: 1, deterministic: true } as const;
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(assets(`data/cifar10/${part}.zip`) ?? "", imagenet);

/** Six convolutions in three stages: small enough to be trained in ten minutes on one core. */
const vgg = defineNet({
  title: "VGG of six convolutions",
  cite: "after Simonyan and Zisserman 2015, arXiv 1409.1556",
  input: [3, 32, 32],
  classes: 10,
  preprocess: colour,
  draw({ conv, norm, relu, maxPool, dense }, image, classes) {
    let x = image;
    for (const channels of [32, 64, 128]) {
      x = relu(norm(conv(x, channels, 3, { bias: false })));
      x = maxPool(relu(norm(conv(x, channels, 3, { bias: false }))), 2);
    }
    return dense(x, classes, { scale: 0.1 });
  },
});

/** Half as wide as the published one and with batch normalization, trained in half an hour. */
const nin = defineNet({
  title: "Network in Network of half width",
  cite: "after Lin et al. 2014, arXiv 1312.4400",
  input: [3, 32, 32],
  classes: 10,
  preprocess: colour,
  draw({ conv, norm, relu, maxPool, globalPool }, image, classes) {
    let x = image;
    const layer = (channels: number, kernel: number): void => {
      x = relu(norm(conv(x, channels, kernel, { bias: false })));
    };
    const stage = (kernel: number, channels: readonly number[]): void => {
      for (const [i, count] of channels.entries()) layer(count, i === 0 ? kernel : 1);
    };
    stage(5, [96, 80, 48]);
    x = maxPool(x, 2);
    stage(5, [96, 96, 96]);
    x = maxPool(x, 2);
    stage(3, [96, 96]);
    return globalPool(conv(x, classes, 1, last));
  },
});

const scratch = {
  optimizer: "nesterov",
  rate: 0.05,
  decay: 0.0005,
  batch: 128,
  warmup: 50,
  augment: "flip+crop=4",
  holdout: 0.02,
  keep: "last",
} as const;

/** The net as it is published, or trained once and kept. */
async function startOf(net: string): Promise<Loaded> {
  if (net === "resnet-20") return load(assets("models/resnet20_cifar10_jpegft.onnx") ?? "");
  const path = `${work}${net}.onnx`;
  if (!existsSync(path)) {
    const drawn = concat(writeModel((net === "nin" ? nin : vgg).make(createRandom(1))));
    const data = { data: cifar("train_25k"), test: cifar("test") };
    const settings = { ...around, ...data, simplify: false };
    const options = { ...scratch, ...(net === "nin" ? { epochs: 8 } : { epochs: 6 }) };
    writeFileSync(path, (await train(await load(drawn), { ...settings, options })).bytes);
  }
  return load(path);
}

const tuned =
  "loss=kd,alpha=0.7,temperature=2,batch=128,warmup=30,augment=flip+crop=2,batchnorm=unfold";

interface Plan {
  readonly recipe: string;
  /** Options of the training that follows. */
  readonly train: string;
}

/** The rows of a net: every method at one budget, then trained alike. */
const rowsAt = (budget: string, steps: number, rates: Record<string, number> = {}) =>
  Object.fromEntries(
    ["bn", "separable", "cp", "tucker", "svd"].map((method): [string, Plan] => [
      method,
      {
        recipe: `factor-${method}:budget=${budget}`,
        train: `steps=${steps},rate=${rates[method] ?? 0.001},${tuned}`,
      },
    ]),
  );

const plans: Record<string, Record<string, Plan>> = {
  // All layers that the budget asks for, whatever time they take: the rows tell that.
  "resnet-20": rowsAt("0.5,unit=macs,measure=false", 250),
  vgg: rowsAt("0.31", 300),
  nin: rowsAt("0.35", 300),
};

/** One row of results/low-rank.json. */
export interface LowRankRow extends Plan {
  /** Percent on the test set: the original, with the factors, after training. */
  readonly accuracy: {
    readonly original: number;
    readonly factored: number;
    readonly trained: number;
  };
  readonly drop: number;
  /** Parameters of the original by those that are left, and bytes of the files likewise. */
  readonly rate: { readonly parameters: number; readonly bytes: number };
  /** One thread, over the simplified original, with its 95 % interval. */
  readonly speedup: number;
  readonly ci95: readonly number[] | null;
  readonly macs: number;
  readonly trainSeconds: number;
  readonly cpuSeconds: number;
}

const round = (x: number): number => Math.round(100 * x) / 100;

async function rowOf(net: string, method: string, plan: Plan, start: Loaded): Promise<LowRankRow> {
  const before = process.cpuUsage();
  const records = { data: cifar("test"), calib: cifar("train_25k") };
  const cut = await compress(start, { ...around, ...records, threads: 1, recipe: plan.recipe });
  const path = `${work}${net}-${method}.onnx`;
  writeFileSync(path, cut.bytes);
  const { result, baseline } = cut;
  const recipe = `train:${plan.train}`;
  const done = await compress(await load(path), { ...around, ...records, teacher: start, recipe });
  writeFileSync(path, done.bytes);
  for (const warning of [...result.warnings, ...done.result.warnings]) console.log(warning);
  const { user, system } = process.cpuUsage(before);
  const original = baseline.metric?.value ?? 0;
  const trained = done.result.metric?.value ?? 0;
  return {
    ...plan,
    accuracy: {
      original: round(original),
      factored: round(result.metric?.value ?? 0),
      trained: round(trained),
    },
    drop: round(original - trained),
    rate: {
      parameters: round(baseline.params / done.result.params),
      bytes: round(baseline.bytes.raw / done.bytes.length),
    },
    speedup: round(result.delta.infer ?? 0),
    ci95: result.delta.ci95.infer?.map(round) ?? null,
    macs: round((baseline.macs ?? 0) / (result.macs || 1)),
    trainSeconds: Math.round(done.training?.reduce((sum, { seconds }) => sum + seconds, 0) ?? 0),
    cpuSeconds: Math.round((user + system) / 1e6),
  };
}

type Results = Record<string, Record<string, LowRankRow>>;

const wanted = process.argv.slice(2);
for (const [net, plan] of Object.entries(plans)) {
  // Only the network that the rows start from.
  if (wanted.includes(`${net}/start`)) await startOf(net);
  for (const [method, row] of Object.entries(plan)) {
    const isNamed = wanted.some((text) => text === net || text === `${net}/${method}`);
    if ((wanted.length > 0 && !isNamed) || !assets("models")) continue;
    const known = readRun<{ rows: Results }>("low-rank")?.rows?.[net]?.[method];
    if (known && known.recipe === row.recipe && known.train === row.train) continue;
    const found = await rowOf(net, method, row, await startOf(net));
    // The file is read only now, because another process may have added rows in the meantime.
    const rows = readRun<{ rows: Results }>("low-rank")?.rows ?? {};
    const all = { ...rows, [net]: { ...rows[net], [method]: found } };
    writeRun("low-rank", { command: "npm run bench:low-rank", rows: all });
    console.log(`${net}/${method}`, JSON.stringify(found));
  }
}
process.exit(0);
