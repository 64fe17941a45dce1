/** @file Sections of docs/benchmarks.md: the speed of training steps, and what training reaches. */
import type { Runs } from "../../bench/record.ts";
import type { Interval } from "../../src/numeric/statistics.ts";
import { interval } from "../../src/report/speed.ts";
import { code, latest, rowsByCpu, table } from "./page.ts";

export interface SpeedBench {
  readonly results: readonly {
    readonly title: string;
    readonly threads: number;
    readonly limit: number;
    /** tersor's time / PyTorch's, paired by round; without intervals in earlier results. */
    readonly ratio: {
      readonly cpu: number;
      readonly cpuCi95?: Interval | null;
      readonly wall: number;
      readonly wallCi95?: Interval | null;
      readonly peakMemory: number;
    };
    readonly times: Readonly<
      Record<string, { readonly cpuMs: number; readonly wallMs: number; readonly peakMb: number }>
    >;
    /** tersor's CPU ms in the optimizer; without it in earlier results. */
    readonly updateMs?: number;
    /** The engine's wall ms in one step by operator, of those that take most, largest first. */
    readonly operators: Readonly<Record<string, number>>;
    readonly versions: { readonly torch: string };
  }[];
}

export function speedSection(runs: Runs<SpeedBench>): string[] {
  const results = Object.values(runs).flatMap((run) => run.results);
  // "2.13.0+cpu" is the same release as "2.13.0".
  const releases = new Set(results.map(({ versions }) => versions.torch.replace(/\+.*$/, "")));
  const pytorch = `PyTorch ${[...releases].join(", ")}`;
  return [
    "## Training steps beside PyTorch",
    "Forward, loss, backward and update of the same network on the same batch, interleaved. One thread is timed by process CPU time, several, whose CPU times add up, by the wall clock. PyTorch's milliseconds are medians of steps; the ratio is the median of the ratios within rounds, and tersor's milliseconds are PyTorch's times that. Memory is the process's peak. `npm run bench:train`.",
    table(
      [
        "network",
        "CPU",
        "threads",
        "clock",
        "tersor, ms",
        `${pytorch}, ms`,
        "ratio of times",
        "wanted",
        "memory ratio",
      ],
      rowsByCpu(runs, (run) =>
        run.results.map(({ title, threads, limit, ratio, times }) => {
          const isCpu = threads === 1;
          const theirs = isCpu ? times.pytorch.cpuMs : times.pytorch.wallMs;
          const [value, ci95] = isCpu ? [ratio.cpu, ratio.cpuCi95] : [ratio.wall, ratio.wallCi95];
          return [
            title,
            String(threads),
            isCpu ? "CPU" : "wall",
            (theirs * value).toFixed(1),
            theirs.toFixed(1),
            ci95 ? `${value.toFixed(2)}, ${interval(ci95)}` : value.toFixed(2),
            `<= ${limit}`,
            ratio.peakMemory.toFixed(2),
          ];
        }),
      ),
    ),
    slower(runs),
  ];
}

/**
 * Where the time goes in steps on one thread that take longer than PyTorch's. The engine tells the
 * wall time of each node, which other work on the machine lengthens in the long nodes. The two
 * operators that take most are therefore given what is left of the CPU time.
 */
function slower(runs: Runs<SpeedBench>): string {
  const lines = Object.entries(runs).flatMap(([cpu, { results }]) =>
    results
      .filter(({ threads, ratio }) => threads === 1 && ratio.cpu > 1)
      .map(({ title, operators, updateMs = 0, ratio, times }) => {
        const total = times.pytorch.cpuMs * ratio.cpu;
        const [first, second, ...others] = Object.entries(operators).slice(0, 7);
        const small = others.reduce((sum, [, ms]) => sum + ms, updateMs);
        const named = others.map(([op, ms]) => `${op} ${ms.toFixed(1)}`);
        const update = updateMs > 0 ? `, the optimizer ${updateMs.toFixed(1)}` : "";
        return `- ${title}, ${cpu}: of ${total.toFixed(0)} CPU ms ${first[0]}, ${second[0]} and all that is not named here take ${(total - small).toFixed(0)}, ${named.join(", ")}${update}.`;
      }),
  );
  if (lines.length === 0) return "";
  return `Where the ratio of CPU times is above 1, the time goes here; [engine.md](engine.md#training) says what was tried:\n\n${lines.join("\n")}`;
}

interface Scratch {
  readonly target: number;
  readonly reached: number;
  readonly trainSeconds: number;
  readonly before?: number;
  readonly options: Readonly<Record<string, unknown>>;
}

interface Relearned {
  readonly recipe: string;
  readonly metric: string;
  readonly original: number;
  readonly damaged: number;
  readonly trained: number;
}

interface Series {
  readonly scores: readonly number[];
  readonly mean: number;
  readonly deviation: number;
}

/** The content of bench/results/learn.json; parts that were not run are missing. */
export interface LearnBench {
  readonly threads: number;
  readonly distillation?: { readonly teacher: Series; readonly labels: Series };
  readonly [part: string]: unknown;
}

export function learnSection(runs: Runs<LearnBench>): string[] {
  const bench = latest(runs);
  const of = <T>(name: string, run = bench) => run[name] as T | undefined;
  const names = ["lenet-300-100", "lenet-5", "resnet20-200", "resnet20-long"];
  const scratch = rowsByCpu(runs, (run) =>
    names.flatMap((name) => {
      const row = of<Scratch>(name, run);
      if (!row) return [];
      const { before, target, reached, trainSeconds, options } = row;
      const text = Object.entries(options).map(([key, value]) => `${key}=${value}`);
      return [
        [
          name,
          code(text.join(",")),
          before === undefined ? "-" : `${before.toFixed(2)} %`,
          `${reached.toFixed(2)} %`,
          `>= ${target} %`,
          trainSeconds.toFixed(0),
        ],
      ];
    }),
  );
  const relearned = ["sst2", "stories"].flatMap((name) => {
    const row = of<Relearned>(name);
    if (!row) return [];
    const figures = [row.original, row.damaged, row.trained].map((n) => n.toFixed(2));
    return [[name, code(row.recipe), row.metric, ...figures]];
  });
  const { distillation } = bench;
  const series = (name: string, { scores, mean, deviation }: Series) => [
    name,
    scores.map((n) => n.toFixed(2)).join(", "),
    mean.toFixed(2),
    deviation.toFixed(2),
  ];
  return [
    "## What training reaches",
    `Test sets are looked at once, at the end; epochs are chosen on held-out training records. \`npm run bench:learn\`.`,
    table(["network", "CPU", "options", "before", "test accuracy", "wanted", "wall s"], scratch),
    ...(relearned.length > 0
      ? [
          "Published models, made worse on purpose, learn again:",
          table(["model", "recipe", "metric", "original", "damaged", "trained"], relearned),
        ]
      : []),
    ...(distillation
      ? [
          "ResNet-8 on CIFAR-10 (JPEG), with ResNet-20 as its teacher and with the labels alone, three seeds:",
          table(
            ["loss", "test accuracy, %", "mean", "standard deviation"],
            [
              series("distillation", distillation.teacher),
              series("labels alone", distillation.labels),
            ],
          ),
        ]
      : []),
  ];
}
