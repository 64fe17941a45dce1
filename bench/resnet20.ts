/**
 * @file Compresses ResNet-20 for CIFAR-10 (JPEG images) to the fewest bytes at which it keeps its
 * accuracy. Writes results/resnet20.json. Finished files are kept in tersor-out/resnet20; delete
 * them to run them again.
 *
 * Settings were chosen by the sizes of the files alone (the distortion that gives 110 kB, the
 * lambda that gives 70 kB). The test set is measured on once for each file.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { compress, evaluate, images, load } from "../src/node.ts";
import { assets } from "../test/support/assets.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/resnet20/`;
mkdirSync(work, { recursive: true });
const file = `${root}bench/results/resnet20.json`;
const threads = Number(process.env.RESNET_THREADS ?? 2);

const original = assets("models/resnet20_cifar10_jpegft.onnx");
if (!original) process.exit(0);
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(assets(`data/cifar10/${part}.zip`) ?? "", imagenet);
const data = cifar("test");

const distil = "loss=kd,temperature=2,alpha=0.7,augment=flip+crop=2,holdout=0.02";
/** Each stage starts from the original (`from` null) or from the product of an earlier stage. */
const stages = [
  {
    name: "coded",
    from: null,
    recipe: "quantize-rate:distortion=0.0037,sensitivity=gradient > pack",
    wanted: { bytes: 110_000, drop: 0.5 },
  },
  {
    name: "trained",
    from: null,
    recipe: `train-rate:lambda=0.0000012,step=0.7,ramp=100,epochs=2,rate=0.001,${distil} > pack`,
    wanted: null,
  },
  {
    name: "smallest",
    from: "trained",
    recipe: `train-rate:lambda=0.000005,ramp=0,epochs=1,rate=0.0005,${distil} > pack`,
    wanted: { bytes: 70_000, drop: 1.5 },
  },
] as const;

const rows = [];
const teacher = await load(original);
for (const { name, from, recipe, wanted } of stages) {
  const product = `${work}${name}.tersor`;
  if (!existsSync(product)) {
    const start = await load(from === null ? original : `${work}${from}.tersor`);
    const around = { data, calib: cifar("train_25k"), teacher, threads, timingSeconds: 0.2 };
    writeFileSync(product, (await compress(start, { ...around, recipe })).pack());
  }
  // Measure what a user gets: the .tersor file, unpacked again.
  const against = { against: teacher, data, threads, timingSeconds: 0.2 };
  const { metric } = await evaluate(await load(product), against);
  const bytes = readFileSync(product).length;
  const rate = Math.round((10 * readFileSync(original).length) / bytes) / 10;
  const accuracy = metric?.value ?? null;
  rows.push({ name, from, recipe, wanted, bytes, rate, accuracy, drop: metric?.drop ?? null });
  console.log(rows.at(-1));
}
const machine = `${cpus()[0].model}, ${threads} threads`;
const text = JSON.stringify({ command: "npm run bench:resnet20", machine, rows }, null, 1);
writeFileSync(file, `${text}\n`);
process.exit(0);
