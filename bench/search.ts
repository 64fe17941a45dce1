/**
 * @file Searches for targets on real models, and the search for a front beside recipes drawn at random:
 * the hypervolume of what both found, at equal budgets. Arguments choose rows: `resnet20`,
 * `random/kws/1`, `random` ...; without any, rows that are there already are kept. Each row is merged
 * into results/search.json as soon as it is there. `npm run bench:search`.
 *
 * Budgets are CPU time of this process, so that a busy machine comes to the same as an idle one.
 */
import { mkdirSync } from "node:fs";
import { createTersor } from "../src/api.ts";
import type { Searched } from "../src/api-types.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { type DataSource, images, type Loaded, load, npz } from "../src/node.ts";
import { assets } from "../test/support/assets.ts";
import { readRun, writeRun } from "./record.ts";

const cpuMs = (): number => nodePlatform.cpuMs() as number;
const { search } = createTersor({ ...nodePlatform, wallMs: cpuMs });

interface Task {
  readonly model: string;
  readonly target: string;
  /** Of CPU time. */
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
    ...{ model: "kws_dscnn", target: "size<=30KB, drop<=0.6", minutes: 3 },
    data: () => npz(path("data/kws/kws01_1000.npz")),
  },
  mobilenet: {
    ...{ model: "mobilenet_v2_1.0_224_dequant", target: "latency<=0.6x, drop<=2", minutes: 10 },
    data: () =>
      images(path("data/imagenet_even.zip"), { scale: 1, mean: [128], std: [128], labelOffset: 1 }),
  },
  sst2: {
    ...{ model: "sst2_transformer", target: "size<=400KB, drop<=1", minutes: 5 },
    data: () => npz(path("data/sst2/test.npz")),
    calib: () => npz(path("data/sst2/train.npz")),
  },
};

/** Models on which both strategies are compared, without training, and CPU minutes of each search. */
const compared = { kws: 3, resnet20: 4 } as const;
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

const file = (task: Task): Promise<Loaded> => load(path(`models/${task.model}.onnx`));
const around = (task: Task) => ({
  ...{ data: task.data(), calib: task.calib?.(), timingSeconds: 0.5, deterministic: true },
});

async function rowOf(name: string): Promise<SearchRow> {
  const task = tasks[name];
  const { best, missed, results, screened, report }: Searched = await search(await file(task), {
    ...{ ...around(task), targets: task.target },
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
    const { hypervolume } = await search(await file(task), { ...around(task), ...own });
    return Number(hypervolume.toFixed(4));
  };
  const [evolve, random] = [await volume("evolve"), await volume("random")];
  return { model: task.model, seed, minutes, evolve, random };
}

if (import.meta.filename === process.argv[1]) {
  mkdirSync(new URL("results/", import.meta.url), { recursive: true });
  const known = (): SearchBench => readRun<SearchBench>("search") ?? { rows: {}, volumes: {} };
  const wanted = process.argv.slice(2);
  /** Whether a row is to be made: by name, or by a part of it; without names those that lack. */
  const isWanted = (name: string, isThere: boolean): boolean =>
    wanted.length === 0
      ? !isThere
      : wanted.some((own) => name === own || name.startsWith(`${own}/`));
  /** Adds to what is in the file by now, where another process may have written other rows. */
  const merge = (part: keyof SearchBench, name: string, row: SearchRow | VolumeRow): void => {
    const before = known();
    writeRun("search", { ...before, [part]: { ...before[part], [name]: row } });
    console.log(JSON.stringify(row));
  };
  for (const name of Object.keys(tasks)) {
    if (isWanted(name, name in known().rows)) merge("rows", name, await rowOf(name));
  }
  for (const name of Object.keys(compared) as (keyof typeof compared)[]) {
    for (const seed of seeds) {
      const id = `${name}/${seed}`;
      if (!isWanted(`random/${id}`, id in known().volumes)) continue;
      merge("volumes", id, await volumesOf(name, seed));
    }
  }
  process.exit(0);
}
