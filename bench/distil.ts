/**
 * @file Distillation, measured: small networks with and without a teacher. Arguments choose parts and
 * rows (`mnist`, `losses/attention`); rows that are there already are kept. Writes results/distil.json
 * after every row. All rows take about 25 minutes of CPU time.
 *
 *   mnist   Hinton et al. 2015: a small perceptron, taught by LeNet-5
 *   few     the same with a thousand labelled records
 *   losses  every loss, ResNet-8 taught by ResNet-20 on few images of CIFAR-10
 *   deep    FitNets: a student deeper and thinner than its teacher
 *   boxes   outputs that are no scores: a locator learns boxes of drawn shapes
 *   text    a text encoder as static embeddings, nothing trained (bench/distil-text.ts)
 *
 * A part has one budget for all its rows, chosen for its time alone. Scores are those after the last
 * step on the test set, which nothing else looks at.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { images, type Loaded, load, mnist, npz, type TrainInput, train } from "../src/node.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { assets } from "../test/support/assets.ts";
import { drawnShapes, nets } from "./distil-nets.ts";
import { type TextRow, textRecipes, textRow } from "./distil-text.ts";
import { readRun, writeRun } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/distil/`;
mkdirSync(work, { recursive: true });
const threads = Number(process.env.DISTIL_THREADS ?? 2);
const quick = { threads, timingSeconds: 0.1, deterministic: true, keepAll: true } as const;

type Options = NonNullable<TrainInput["options"]>;

/** A row: the loss of each stage of the training; without a teacher, labels alone. */
interface Plan {
  readonly taught: boolean;
  readonly stages: readonly Options[];
}

interface Part {
  readonly student: keyof typeof nets | `net:${string}`;
  /** Null where the files that it needs are missing. */
  readonly teacher: () => Promise<Loaded | null>;
  readonly data: () => Pick<TrainInput, "data" | "test">;
  readonly seeds: readonly number[];
  readonly rows: Readonly<Record<string, Plan>>;
}

/** A row of one seed. */
export interface DistilRow {
  /** The metric's name and its value on the test set. */
  readonly metric: string;
  readonly value: number;
  /** Wrong records of the test set; null where outputs are no classes. */
  readonly errors: number | null;
  readonly params: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
}

/** What is the same for all rows of a part. */
export interface DistilPart {
  readonly student: string;
  readonly teacher: DistilRow;
  /** Options of the stages by row, as text. */
  readonly plans: Readonly<Record<string, string>>;
  /** By row, then by seed. */
  readonly rows: Readonly<Record<string, Readonly<Record<string, DistilRow>>>>;
}

/** bench/results/distil.json of one CPU. */
export interface DistilBench {
  readonly command: string;
  readonly parts: Readonly<Record<string, DistilPart>>;
  /** By recipe. */
  readonly text?: Readonly<Record<string, TextRow>>;
  /** Every row of the bench, so that what was not run can be named. */
  readonly all: readonly string[];
}

const alone = (options: Options): Plan => ({
  taught: false,
  stages: [{ loss: "auto", ...options }],
});
const taught = (...stages: Options[]): Plan => ({ taught: true, stages });

const drawn = (name: string, count: number, seed: number, blur: number): string => {
  const path = `${work}${name}-${count}.npz`;
  if (!existsSync(path)) writeFileSync(path, drawnShapes(count, seed, blur));
  return path;
};
const boxes = (count: number) => ({
  data: npz(drawn("train", count, 1, 0.1)),
  test: npz(drawn("test", 2000, 2, 0)),
});
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string, limit?: number) =>
  images(assets(`data/cifar10/${part}.zip`) ?? "", { ...imagenet, ...(limit && { limit }) });

const digits = { epochs: 5, batch: 128, rate: 0.001, holdout: 0 } as const;
const short = {
  epochs: 6,
  batch: 64,
  rate: 0.05,
  optimizer: "nesterov",
  decay: 0.0005,
  warmup: 20,
  augment: "flip+crop=4",
  holdout: 0,
} as const;
const few = { steps: 800, batch: 64, rate: 0.002, holdout: 0 } as const;
const deep = { steps: 800, batch: 128, rate: 0.002, holdout: 0, warmup: 50 } as const;
const located = { epochs: 12, batch: 64, rate: 0.003, holdout: 0 } as const;
/** The outputs of the three stages, which have one size in both networks. */
const hints = [3, 5, 7].map((own, i) => `relu${own}=/layer${i + 1}/layer${i + 1}.2/Relu_1`);
const hinted = (hintloss: Options["hintloss"], hintweight: number): Plan =>
  taught({ ...short, loss: "kd", hints, hintloss, hintweight });

const parts: Readonly<Record<string, Part>> = {
  mnist: {
    student: "2 x 800",
    teacher: () => load(`${root}examples/lenet5.onnx`),
    data: () => ({ data: mnist("train"), test: mnist("test") }),
    seeds: [1, 2, 3],
    rows: {
      labels: alone(digits),
      // The paper's temperature for layers of 300 units and more, and labels that weigh little.
      kd: taught({ ...digits, loss: "kd", temperature: 20, alpha: 0.9 }),
    },
  },
  few: {
    student: "2 x 30",
    teacher: () => load(`${root}examples/lenet5.onnx`),
    data: () => ({ data: mnist("train", { limit: 1000 }), test: mnist("test") }),
    seeds: [1, 2, 3],
    rows: {
      labels: alone(few),
      "labels, moved images": alone({ ...few, augment: "shift=2+affine=8" }),
      kd: taught({ ...few, loss: "kd" }),
      "kd, temperature by held-out records": taught({ ...few, loss: "kd", temperature: "auto" }),
      "kd, moved images": taught({ ...few, loss: "kd", augment: "shift=2+affine=8" }),
    },
  },
  losses: {
    student: "net:resnet-8",
    teacher: async () => {
      const path = assets("models/resnet20_cifar10_jpegft.onnx");
      return path ? load(path) : null;
    },
    data: () => ({ data: cifar("train_25k", 5000), test: cifar("test", 4000) }),
    seeds: [1, 2],
    rows: {
      labels: alone(short),
      kd: taught({ ...short, loss: "kd" }),
      dkd: taught({ ...short, loss: "dkd" }),
      logits: taught({ ...short, loss: "logits" }),
      mse: hinted("mse", 1),
      fitnet: hinted("fitnet", 1),
      attention: hinted("attention", 10),
      selectivity: hinted("selectivity", 10),
      relations: hinted("relations", 1),
      contrast: hinted("contrast", 0.1),
    },
  },
  deep: {
    student: "20 x 24",
    teacher: () => load(`${root}examples/lenet-300-100.onnx`),
    data: () => ({ data: mnist("train", { limit: 20000 }), test: mnist("test") }),
    seeds: [1, 2, 3],
    rows: {
      labels: alone(deep),
      kd: taught({ ...deep, loss: "kd" }),
      fitnet: taught(
        { ...deep, steps: 200, loss: "features", hints: ["relu10=relu1"], hintloss: "fitnet" },
        { ...deep, steps: 600, loss: "kd" },
      ),
      // Of five ways to give hints the best on held-out records, over four seeds.
      "kd and a hint": taught({
        ...{ ...deep, loss: "kd" },
        ...{ hints: ["relu10=relu2"], hintloss: "fitnet", hintweight: 1 },
      }),
    },
  },
  boxes: {
    student: "locator 3",
    async teacher() {
      const path = `${work}locator.onnx`;
      if (!existsSync(path)) {
        const options = { ...located, epochs: 15 };
        const done = await train(await startOf("locator 16", 1), {
          ...quick,
          ...boxes(8000),
          options,
        });
        writeFileSync(path, done.bytes);
      }
      return load(path);
    },
    data: () => boxes(1000),
    seeds: [1, 2, 3],
    rows: {
      labels: alone({ ...located, epochs: 40 }),
      logits: taught({ ...located, epochs: 40, loss: "logits" }),
    },
  },
};

const startOf = (name: Part["student"], seed: number): Promise<Loaded> =>
  name.startsWith("net:")
    ? load(name, { seed })
    : load(concat(writeModel(nets[name as keyof typeof nets].make(createRandom(seed)))));

const round = (x: number, digits = 2): number => Number(x.toFixed(digits));

/** A row from what `train` gave, and the CPU seconds that it took. */
function rowOf(
  { bytes, result }: Awaited<ReturnType<typeof train>>,
  cpuSeconds: number,
  records: number,
): DistilRow {
  const { name = "", value = Number.NaN } = result.metric ?? {};
  const isShare = name === "accuracy";
  return {
    ...{ metric: name, value: round(value, isShare ? 2 : 3) },
    errors: isShare ? Math.round(records * (1 - value / 100)) : null,
    ...{ params: result.params, bytes: bytes.length, cpuSeconds },
  };
}

const countOf = (part: string): number => (part === "losses" ? 4000 : 10000);

async function trained(name: string, plan: Plan, seed: number): Promise<DistilRow> {
  const part = parts[name];
  const before = process.cpuUsage();
  const teacher = plan.taught ? await part.teacher() : null;
  let model = await startOf(part.student, seed);
  let done: Awaited<ReturnType<typeof train>> | undefined;
  for (const options of plan.stages) {
    done = await train(model, { ...quick, seed, ...part.data(), teacher, options });
    model = await load(done.bytes);
  }
  const { user, system } = process.cpuUsage(before);
  return rowOf(done!, Math.round((user + system) / 1e6), countOf(name));
}

/** The teacher's own score. */
async function measured(name: string, teacher: Loaded): Promise<DistilRow> {
  const options = { steps: 0, epochs: 0 };
  const done = await train(teacher, { ...quick, ...parts[name].data(), options });
  return rowOf(done, 0, countOf(name));
}

const textOf = ({ stages }: Plan): string =>
  stages
    .map(
      (options) =>
        `train:${Object.entries(options).map(([key, value]) => `${key}=${[value].flat().join("|")}`)}`,
    )
    .join(" > ");

const all = Object.entries(parts).flatMap(([part, { rows, seeds }]) =>
  Object.keys(rows).flatMap((row) => seeds.map((seed) => `${part}/${row}/${seed}`)),
);
const wanted = process.argv.slice(2);
const isWanted = (row: string): boolean =>
  wanted.length === 0 || wanted.some((text) => row === text || row.startsWith(`${text}/`));

const paths = [...all, ...textRecipes.map((recipe) => `text/${recipe}`)];
const headOf = () => {
  const { parts = {}, text = {} } = readRun<DistilBench>("distil") ?? {};
  return { command: "npm run bench:distil", all: paths, parts, text };
};

for (const path of all.filter(isWanted)) {
  const [name, row, seed] = path.split("/");
  const part = parts[name];
  const plan = part.rows[row];
  const text = textOf(plan);
  const before = readRun<DistilBench>("distil")?.parts[name];
  // Rows of another student are none of this part's.
  const known = before?.student === part.student ? before : undefined;
  if (known?.rows[row]?.[seed] && known.plans[row] === text) continue;
  const teacher = await part.teacher();
  if (!teacher) continue;
  const found = await trained(name, plan, Number(seed));
  const own = known?.teacher ?? (await measured(name, teacher));
  // The file is read only now, because another process may have added rows in the meantime.
  const latest = readRun<DistilBench>("distil")?.parts ?? {};
  const { plans, rows } = known
    ? latest[name]
    : { plans: {} as DistilPart["plans"], rows: {} as DistilPart["rows"] };
  const now: DistilPart = {
    ...{ student: part.student, teacher: own },
    plans: { ...plans, [row]: text },
    // Seeds of another plan are none of this row's.
    rows: { ...rows, [row]: { ...(plans[row] === text && rows[row]), [seed]: found } },
  };
  writeRun("distil", { ...headOf(), parts: { ...latest, [name]: now } });
  console.log(path, JSON.stringify(found));
}
for (const recipe of textRecipes) {
  const { text } = headOf();
  if (!isWanted(`text/${recipe}`) || text[recipe] || !assets("models")) continue;
  const found = await textRow(recipe, threads);
  writeRun("distil", { ...headOf(), text: { ...headOf().text, [recipe]: found } });
  console.log(`text/${recipe}`, JSON.stringify(found));
}
process.exit(0);
