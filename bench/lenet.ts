/**
 * @file Repeats Deep Compression on its own networks (LeNet-300-100 and LeNet-5), stage by stage,
 * and trains the smallest files. Writes examples/*.tersor and results/lenet.json. Finished stages
 * are kept in tersor-out/lenet; delete them to run them again.
 *
 * Everything is chosen on held-out training images; the test set is only used to measure.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import type { z } from "zod";
import { encodeGaps } from "../src/codec/encode/gaps.ts";
import { compress, evaluate, load, pack, train } from "../src/node.ts";
import { biasOf, weightsOf } from "../src/ops/weights.ts";
import { presetRecipe } from "../src/recipe/presets.ts";
import { formatRecipe, parseRecipe, type Step } from "../src/recipe/steps.ts";
import type { trainOptions } from "../src/train/options.ts";
import { unpack } from "../src/unpack.ts";
import { readWeight } from "../src/weights/read.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/lenet/`;
mkdirSync(work, { recursive: true });
const threads = Number(process.env.LENET_THREADS ?? 2);
const augment = "shift=1+affine=8";
const settings = { data: "mnist:test", calib: "mnist:train", threads, timingSeconds: 0.2 };

/**
 * Published figures: error in percent, compression rates of the stages, bytes. From arXiv
 * 1510.00149, tables 1 to 3, and (`smallest`) arXiv 1906.06624, table 1.
 */
const published = {
  "lenet-300-100": {
    error: 1.64,
    stages: { pruned: 12, shared: 32, coded: 40 },
    coded: { bytes: 27_000, error: 1.58 },
    smallest: { bytes: 8_560, error: 1.9 },
  },
  "lenet-5": {
    error: 0.8,
    stages: { pruned: 12, shared: 33, coded: 39 },
    coded: { bytes: 44_000, error: 0.74 },
    smallest: { bytes: 2_840, error: 1.0 },
  },
} as const;
type Net = keyof typeof published;

/**
 * The recipe of the stage "smallest", which keeps about the published error. In its second run
 * weights that are zero stay zero (`revive=false`).
 */
const smallest =
  "train-rate:lambda=0.00001,step=1.25,epochs=10 > train-rate:lambda=0.000002,ramp=0,revive=false,epochs=4,rate=0.0005 > pack";

interface Plan {
  /** Options of the training from scratch. */
  readonly original: z.input<typeof trainOptions>;
  /** Whether to run the preset `smallest` unchanged as well: fewer bytes, a larger error. */
  readonly tiny: boolean;
}

const plans: Record<Net, Plan> = {
  "lenet-300-100": {
    original: { epochs: 20, rate: 0.002, schedule: "one-cycle", augment },
    tiny: false,
  },
  "lenet-5": {
    original: { epochs: 8, rate: 0.002, schedule: "one-cycle", augment },
    tiny: true,
  },
};

/** One row of bench/results/lenet.json, which scripts/docs prints. */
export interface Stage {
  readonly stage: string;
  readonly recipe: string;
  /** Number of weights and biases that are not zero. */
  readonly nonzeros: number;
  /** Bits that index a weight's value, for each layer; 32 for plain floats. */
  readonly bits: readonly number[];
  /** Bytes of the ONNX file. */
  readonly onnx: number;
  /** Bytes of the .tersor file. */
  readonly packed: number;
  /**
   * Bytes by the paper's own coder: Huffman codes of gaps and codebook entries, plus codebooks and
   * biases. Null for plain floats.
   */
  readonly huffman: number | null;
  /** Test error in percent. */
  readonly error: number;
  readonly trainSeconds: number;
}

/** The steps with the augmentation added to those whose method has that option. */
const augmented = (steps: readonly Step[]): Step[] =>
  steps.map((step) => {
    const { options } = step;
    return "augment" in options ? { ...step, options: { ...options, augment } } : step;
  });

/** Measures a finished stage: sizes, bits, and the error of its unpacked .tersor file. */
async function describe(
  file: string,
  stage: string,
  recipe: string,
  trainSeconds: number,
): Promise<Stage> {
  const model = await load(`${work}${file}.onnx`);
  const { bytes: packed } = await pack(model);
  writeFileSync(`${work}${file}.tersor`, packed);
  // Measure what a user gets: the unpacked file.
  const unpacked = await load((await unpack(packed)).slice());
  const result = await evaluate(unpacked, { data: "mnist:test", threads, timingSeconds: 0.2 });
  let [nonzeros, huffman] = [0, 0];
  const bits: number[] = [];
  for (const { node, value } of weightsOf(unpacked.model)) {
    const values = readWeight(value)?.values ?? new Float32Array();
    const bias = biasOf(node)?.tensor?.floats() ?? new Float32Array();
    for (const part of [values, bias]) nonzeros += part.filter((w) => w !== 0).length;
    const entries = [...new Set(values)].filter((w) => w !== 0);
    bits.push(entries.length > 256 ? 32 : Math.ceil(Math.log2(entries.length + 1)));
    const codes = new Map([[0, 0], ...entries.map((w, i) => [w, i + 1] as const)]);
    const symbols = Int32Array.from(values, (w) => codes.get(w) ?? 0);
    huffman += encodeGaps(symbols).bytes.length + 4 * (entries.length + bias.length);
  }
  return {
    stage,
    recipe,
    nonzeros,
    bits,
    onnx: readFileSync(`${work}${file}.onnx`).length,
    packed: packed.length,
    huffman: bits.every((b) => b < 32) ? huffman : null,
    error: round(100 - (result.metric?.value ?? 0), 2),
    trainSeconds: round(trainSeconds, 0),
  };
}

/**
 * Runs `steps` on `from`, unless an earlier run did so with the same recipe, and measures the
 * result.
 */
async function stageOf(net: Net, stage: string, from: string, steps: readonly Step[]) {
  const file = `${net}.${stage}`;
  const recipe = formatRecipe(steps);
  const about = `${work}${file}.json`;
  const isDone = existsSync(about) && JSON.parse(readFileSync(about, "utf8")).recipe === recipe;
  if (!isDone) {
    const began = performance.now();
    const start = await load(from.startsWith("net:") ? from : `${work}${from}.onnx`);
    const done =
      stage === "original"
        ? await train(start, {
            data: "mnist:train",
            test: "mnist:test",
            threads,
            deterministic: true,
            options: steps[0].options,
          })
        : await compress(start, {
            ...settings,
            deterministic: true,
            recipe: steps,
          });
    writeFileSync(`${work}${file}.onnx`, done.bytes);
    const seconds = (performance.now() - began) / 1000;
    writeFileSync(about, JSON.stringify({ recipe, seconds }));
  }
  const { seconds } = JSON.parse(readFileSync(about, "utf8"));
  const row = await describe(file, stage, recipe, seconds);
  print(net, row);
  return row;
}

function print(net: Net, row: Stage): void {
  const { stage, nonzeros, bits, packed, onnx, huffman, error } = row;
  const columns = [
    `${net} ${stage}`.padEnd(24),
    `${nonzeros} left`.padStart(12),
    `bits ${bits.join("/")}`.padEnd(16),
    `onnx ${onnx}`.padStart(13),
    `huffman ${huffman ?? "-"}`.padStart(14),
    `.tersor ${packed}`.padStart(14),
    `error ${error.toFixed(2)} %`.padStart(13),
  ];
  console.log(columns.join("  "));
}

const round = (x: number, digits: number): number => Number(x.toFixed(digits));
const fileName = (net: Net): string => net.replace("-5", "5");

/** All stages of one network. */
async function run(net: Net) {
  const steps = parseRecipe([{ method: "train", ...plans[net].original }]);
  const first = await stageOf(net, "original", `net:${net}`, steps);
  const { model } = await load(`${work}${net}.original.onnx`);
  const preset = (name: string) => presetRecipe(name, model, true);
  const deep = augmented(preset("deep-compression"));
  const cut = deep.findIndex(({ id }) => id === "share-weights");
  const stages = [
    first,
    await stageOf(net, "pruned", `${net}.original`, deep.slice(0, cut)),
    await stageOf(net, "shared", `${net}.pruned`, deep.slice(cut)),
    await stageOf(net, "smallest", `${net}.original`, augmented(parseRecipe(smallest))),
  ];
  const files = [
    ["shared", "deep-compression"],
    ["smallest", "smallest"],
  ];
  if (plans[net].tiny) {
    const steps = augmented(preset("smallest"));
    stages.push(await stageOf(net, "tiny", `${net}.original`, steps));
    files.push(["tiny", "tiny"]);
  }
  for (const [stage, file] of files) {
    const bytes = readFileSync(`${work}${net}.${stage}.tersor`);
    writeFileSync(`${root}examples/${fileName(net)}.${file}.tersor`, bytes);
  }
  return { published: published[net], stages };
}

const wanted = process.argv.slice(2);
const results: Record<string, unknown> = {};
for (const net of Object.keys(plans) as Net[]) {
  if (wanted.length === 0 || wanted.includes(net)) results[net] = await run(net);
}
const file = `${root}bench/results/lenet.json`;
const before = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
const machine = `${cpus()[0].model}, ${cpus().length} threads`;
writeFileSync(
  file,
  `${JSON.stringify({ ...before, command: "npm run bench:lenet", machine, ...results }, null, 1)}\n`,
);
process.exit(0);
