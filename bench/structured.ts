/**
 * @file Every structured matrix on LeNet-300-100 and on the encoder of a text classifier (SST-2), step
 * by step through files: projected, trained with the original as teacher, in 4 bits, packed. Writes
 * results/structured.json row by row; rows that are there with the same recipe are kept, so that an
 * interrupted run goes on where it stopped. `npm run bench:structured` takes about an hour on one core;
 * arguments choose nets and structures (`sst2`, `sst2/monarch`).
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { compress, type DataSource, evaluate, load, mnist, npz, pack } from "../src/node.ts";
import { readModel } from "../src/onnx/read.ts";
import { inferModel } from "../src/ops/infer.ts";
import { weightsOf } from "../src/ops/weights.ts";
import { unpack } from "../src/unpack.ts";
import { countOf } from "../src/weights/count.ts";
import { readWeight } from "../src/weights/read.ts";
import { assets } from "../test/support/assets.ts";
import { ownCpu } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/structured/`;
const results = `${root}bench/results/structured.json`;
mkdirSync(work, { recursive: true });

const quick = { deterministic: true, threads: 1, timingSeconds: 0.1 } as const;

const names = [
  "kronecker",
  "monarch",
  "tensor-train",
  "acdc",
  "toeplitz-like",
  "circulant",
  "fastfood",
] as const;

interface Net {
  readonly title: string;
  /** Its file; null where the shared models are missing. */
  readonly start: string | null;
  /** Options of every structure. */
  readonly options: string;
  /** Names of the layers that are replaced begin so. */
  readonly prefix: string;
  /** The same training for every structure. */
  readonly train: string;
  readonly records: () => { readonly data: DataSource; readonly calib: DataSource };
}

const nets: Readonly<Record<string, Net>> = {
  "lenet-300-100": {
    title: "LeNet-300-100",
    start: `${root}examples/lenet-300-100.onnx`,
    // All weights of layers together, with the small last layer as it is, are 8 times fewer.
    options: "ratio=8.25",
    prefix: "",
    // Augmented as the original's own training was (bench/lenet.ts).
    train: "epochs=6,rate=0.002,schedule=one-cycle,loss=kd,augment=shift=1+affine=8",
    records: () => ({ data: mnist("test"), calib: mnist("train") }),
  },
  sst2: {
    title: "the encoder of the text classifier",
    start: assets("models/sst2_transformer.onnx"),
    options: "ratio=8,only=/b.*",
    prefix: "/b.",
    train: "epochs=3,batch=64,rate=0.001,schedule=one-cycle,loss=kd",
    records: () => ({
      data: npz(assets("data/sst2/test.npz") ?? ""),
      calib: npz(assets("data/sst2/train.npz") ?? ""),
    }),
  },
};

/** In place of rounding, the parts are trained on their grids, from the trained file. */
const learned = ["quantize-lsq:bits=4,activations=0,ends=4,epochs=2,loss=kd", "pack"] as const;

/** One row of bench/results/structured.json, which scripts/docs prints. */
export interface StructuredRow {
  readonly structure: string;
  readonly recipe: string;
  /** The written file: ONNX, or .tersor behind the step pack. */
  readonly bytes: number;
  /** Numbers that the weights of the replaced layers are stored in. */
  readonly numbers: number;
  /** Test error in percent. */
  readonly error: number;
  readonly seconds: number;
}

export interface StructuredNet {
  readonly title: string;
  readonly options: string;
  readonly original: Omit<StructuredRow, "structure" | "recipe" | "seconds">;
  readonly rows: readonly StructuredRow[];
}

/** bench/results/structured.json: by net. */
export interface StructuredBench {
  readonly cpu: string;
  readonly nets: Readonly<Record<string, StructuredNet>>;
}

const readResults = (): StructuredBench | null =>
  existsSync(results) ? JSON.parse(readFileSync(results, "utf8")) : null;

const errorOf = (accuracy: number | undefined): number =>
  Number((100 - (accuracy ?? 0)).toFixed(2));

/** The rows of one net, of all structures or those that are `chosen`. */
async function runNet(name: string, net: Net, start: string, chosen: readonly string[]) {
  const { title, options, prefix, train } = net;
  const settings = { ...quick, ...net.records() };
  const teacher = await load(start);
  const rows = [...(readResults()?.nets[name]?.rows ?? [])];

  function numbersIn(bytes: Uint8Array): number {
    const model = readModel(bytes, { name: "row" });
    inferModel(model);
    const replaced = weightsOf(model).filter(({ node }) => node.name.startsWith(prefix));
    const weights = replaced.flatMap(({ value }) => readWeight(value) ?? []);
    return weights.reduce((sum, weight) => sum + countOf(weight).numbers, 0);
  }

  const before = await evaluate(teacher, settings);
  const original = {
    bytes: readFileSync(start).length,
    numbers: numbersIn(readFileSync(start)),
    error: errorOf(before.metric?.value),
  };

  async function compressed(from: string, recipe: string) {
    const { bytes, result } = await compress(await load(from), { ...settings, teacher, recipe });
    return { bytes, onnx: bytes, error: errorOf(result.metric?.value) };
  }

  /** What a user runs is measured: the model that is unpacked from the file. */
  async function packed(from: string) {
    const { bytes } = await pack(await load(from));
    const onnx = (await unpack(bytes)).slice();
    const { metric } = await evaluate(await load(onnx), settings);
    return { bytes, onnx, error: errorOf(metric?.value) };
  }

  /**
   * Runs one step on a file, unless an earlier run did, and keeps its row. `before`: a step to repeat
   * first, where its own file is no better than chance and so is refused as a baseline.
   */
  async function runStep(
    structure: string,
    recipe: string,
    from: string,
    to: string,
    before: string | null,
  ): Promise<void> {
    const same = (row: StructuredRow) => row.structure === structure && row.recipe === recipe;
    if (rows.some(same) && existsSync(to)) return;
    const began = performance.now();
    const steps = before ? `${before} > ${recipe}` : recipe;
    const { bytes, onnx, error } = recipe.endsWith("pack")
      ? await packed(from)
      : await compressed(from, steps);
    writeFileSync(to, bytes);
    const row: StructuredRow = {
      structure,
      recipe,
      bytes: bytes.length,
      // Names of layers are no longer known in what is unpacked.
      numbers: numbersIn(recipe.endsWith("pack") ? readFileSync(from) : onnx),
      error,
      seconds: Math.round((performance.now() - began) / 1000),
    };
    const at = rows.findIndex(same);
    if (at < 0) rows.push(row);
    else rows[at] = row;
    const all = { ...readResults()?.nets, [name]: { title, options, original, rows } };
    const bench: StructuredBench = { cpu: ownCpu, nets: all };
    writeFileSync(results, `${JSON.stringify(bench, null, 1)}\n`);
    console.log(name, JSON.stringify(row));
  }

  for (const structure of chosen) {
    const first = `${structure}:${options}`;
    const file = (step: number | string, end: string) =>
      `${work}${name}-${structure}-${step}.${end}`;
    const steps = [first, `train:${train}`, "quantize-weights:bits=4", "pack"];
    for (const [i, recipe] of steps.entries()) {
      const from = i < 2 ? start : file(i - 1, "onnx");
      const to = file(i, recipe === "pack" ? "tersor" : "onnx");
      await runStep(structure, recipe, from, to, i === 1 ? first : null);
    }
    const [onnx, tersor] = ["onnx", "tersor"].map((end) => file("learned", end));
    await runStep(structure, learned[0], file(1, "onnx"), onnx, null);
    await runStep(structure, `${learned[0]} > ${learned[1]}`, onnx, tersor, null);
  }
}

const given = process.argv.slice(2);
for (const [name, net] of Object.entries(nets)) {
  const isAll = given.length === 0 || given.includes(name);
  const chosen = names.filter((structure) => isAll || given.includes(`${name}/${structure}`));
  if (net.start && chosen.length > 0) await runNet(name, net, net.start, chosen);
}
process.exit(0);
