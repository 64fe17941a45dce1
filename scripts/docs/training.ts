/** @file Sections of docs/benchmarks.md: the speed of training steps, and what training reaches. */
import { code, table } from "./page.ts";

export interface SpeedBench {
  readonly results: readonly {
    readonly title: string;
    readonly threads: number;
    readonly limit: number;
    readonly ratio: { readonly cpu: number; readonly peakMemory: number };
    readonly times: Readonly<Record<string, { readonly cpuMs: number; readonly peakMb: number }>>;
  }[];
}

export function speedSection({ results }: SpeedBench): string[] {
  return [
    "## Training steps beside PyTorch",
    "Forward, loss, backward and update of the same network on the same batch, interleaved, medians of process-CPU milliseconds; memory is the process's peak. `npm run bench:train`.",
    table(
      ["network", "threads", "tersor, ms", "PyTorch 2.13, ms", "ratio", "wanted", "memory ratio"],
      results.map(({ title, threads, limit, ratio, times }) => [
        title,
        String(threads),
        times.tersor.cpuMs.toFixed(1),
        times.pytorch.cpuMs.toFixed(1),
        ratio.cpu.toFixed(2),
        `<= ${limit}`,
        ratio.peakMemory.toFixed(2),
      ]),
    ),
  ];
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
  readonly machine: string;
  readonly distillation?: { readonly teacher: Series; readonly labels: Series };
}

export function learnSection(bench: LearnBench): string[] {
  const of = <T>(name: string) => (bench as unknown as Record<string, T | undefined>)[name];
  const scratch = ["lenet-300-100", "lenet-5", "resnet20-200", "resnet20-long"].flatMap((name) => {
    const row = of<Scratch>(name);
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
  });
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
    `Test sets are looked at once, at the end; epochs are chosen on held-out training records. ${bench.machine}. \`npm run bench:learn\`.`,
    table(["network", "options", "before", "test accuracy", "wanted", "seconds"], scratch),
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
