/**
 * @file Searches for targets on real models, and the search beside one at random: the hypervolume of
 * what both found, at equal budgets. Arguments choose rows: `resnet20`, `random/kws/1` ...; rows that
 * are there already are kept. Writes results/search.json. `npm run bench:search`.
 *
 * Hypervolume: the area that the rows dominate, in (ln bytes, points lost), up to the original's bytes
 * and ten points, as a share of the whole down to a hundredth of the bytes.
 */
import { mkdirSync } from "node:fs";
import type { Searched } from "../src/api-types.ts";
import type { Result } from "../src/measure/measurement.ts";
import { type DataSource, images, type Loaded, load, npz, search } from "../src/node.ts";
import { assets } from "../test/support/assets.ts";
import { readRun, writeRun } from "./record.ts";

interface Task {
  readonly model: string;
  readonly target: string;
  readonly minutes: number;
  readonly data: () => DataSource;
  readonly calib?: () => DataSource;
}

const path = (name: string): string => assets(name) ?? "";
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(path(`data/cifar10/${part}.zip`), imagenet);

/** What the searches look for. */
const tasks: Readonly<Record<string, Task>> = {
  resnet20: {
    ...{ model: "resnet20_cifar10_jpegft", target: "size<=120KB, drop<=0.5", minutes: 15 },
    data: () => cifar("test"),
    calib: () => cifar("train_25k"),
  },
  kws: {
    ...{ model: "kws_dscnn", target: "size<=30KB, drop<=0.6", minutes: 15 },
    data: () => npz(path("data/kws/kws01_1000.npz")),
  },
  mobilenet: {
    ...{ model: "mobilenet_v2_1.0_224_dequant", target: "latency<=0.6x, drop<=2", minutes: 15 },
    data: () =>
      images(path("data/imagenet_even.zip"), { scale: 1, mean: [128], std: [128], labelOffset: 1 }),
  },
  sst2: {
    ...{ model: "sst2_transformer", target: "size<=400KB, drop<=1", minutes: 15 },
    data: () => npz(path("data/sst2/test.npz")),
    calib: () => npz(path("data/sst2/train.npz")),
  },
};

/** Models and minutes on which both strategies are compared, without training. */
const compared = { kws: 2, resnet20: 4 } as const;
const seeds = [1, 2, 3];

/** What one search came to. */
export interface SearchRow {
  readonly model: string;
  readonly target: string;
  readonly minutes: number;
  readonly recipe: string;
  readonly bytes: number;
  readonly drop: number | null;
  readonly speedup: number | null;
  readonly missed: readonly string[];
  readonly measured: number;
  readonly screened: number;
  readonly seconds: number;
}

/** The hypervolumes of both strategies with one seed. */
export interface VolumeRow {
  readonly model: string;
  readonly seed: number;
  readonly minutes: number;
  readonly evolve: number;
  readonly random: number;
}

export interface SearchBench {
  readonly rows: Readonly<Record<string, SearchRow>>;
  readonly volumes: Readonly<Record<string, VolumeRow>>;
}

/** The share of the area that the rows dominate. */
export function hypervolume(results: readonly Result[]): number {
  const [{ bytes }] = results;
  const [lossless, worst, smallest] = [bytes.raw, 10, bytes.raw / 100];
  const points = results
    .map((row) => [Math.log(lossless / row.bytes.raw), Math.max(0, row.metric?.drop ?? worst)])
    .filter(([gain, lost]) => gain > 0 && lost < worst)
    .sort((a, b) => a[1] - b[1]);
  let [area, best] = [0, 0];
  for (const [gain, lost] of points) {
    area += Math.max(0, gain - best) * (worst - lost);
    best = Math.max(best, gain);
  }
  return area / (worst * Math.log(lossless / smallest));
}

const file = (task: Task): Promise<Loaded> => load(path(`models/${task.model}.onnx`));
const around = (task: Task) => ({
  ...{ data: task.data(), calib: task.calib?.(), timingSeconds: 0.5, targets: task.target },
});

async function rowOf(name: string): Promise<SearchRow> {
  const task = tasks[name];
  const { best, missed, results, screened, report }: Searched = await search(await file(task), {
    ...around(task),
    budgetSeconds: 60 * task.minutes,
    onRow: ({ recipe, bytes, metric }) =>
      console.log(name, recipe, bytes.raw, metric?.drop?.toFixed(2)),
  });
  return {
    ...{ model: task.model, target: task.target, minutes: task.minutes, recipe: best.recipe },
    ...{ bytes: best.bytes.raw, drop: best.metric?.drop ?? null, speedup: best.delta.infer },
    ...{ missed, measured: results.length - 1, screened, seconds: Math.round(report.seconds) },
  };
}

async function volumesOf(name: keyof typeof compared, seed: number): Promise<VolumeRow> {
  const [task, minutes] = [tasks[name], compared[name]];
  const volume = async (strategy: "evolve" | "random"): Promise<number> => {
    const own = { trains: false, seed, strategy, budgetSeconds: 60 * minutes } as const;
    const { results } = await search(await file(task), { ...around(task), ...own });
    return Number(hypervolume(results).toFixed(4));
  };
  const [evolve, random] = [await volume("evolve"), await volume("random")];
  return { model: task.model, seed, minutes, evolve, random };
}

if (import.meta.filename === process.argv[1]) {
  mkdirSync(new URL("results/", import.meta.url), { recursive: true });
  const known = readRun<SearchBench>("search") ?? { rows: {}, volumes: {} };
  const bench = { rows: { ...known.rows }, volumes: { ...known.volumes } };
  const wanted = process.argv.slice(2);
  const isWanted = (name: string): boolean =>
    wanted.length === 0 || wanted.some((own) => name === own || name.startsWith(`${own}/`));
  for (const name of Object.keys(tasks)) {
    if (!isWanted(name) || (bench.rows[name] && wanted.length === 0)) continue;
    bench.rows[name] = await rowOf(name);
    console.log(JSON.stringify(bench.rows[name]));
    writeRun("search", bench);
  }
  for (const name of Object.keys(compared) as (keyof typeof compared)[]) {
    for (const seed of seeds) {
      const id = `${name}/${seed}`;
      if (!isWanted(`random/${id}`) || (bench.volumes[id] && wanted.length === 0)) continue;
      bench.volumes[id] = await volumesOf(name, seed);
      console.log(JSON.stringify(bench.volumes[id]));
      writeRun("search", bench);
    }
  }
  process.exit(0);
}
