/** @file docs/benchmarks.md: transferred filters on CIFAR-10, from bench/results/filters.json. */
import type { FiltersBench, ScratchRow, TiedRow } from "../../bench/filters.ts";
import type { Runs } from "../../bench/record.ts";
import type { Alike } from "../../src/filters/copied.ts";
import * as format from "../../src/report/format.ts";
import { code, latest, table, thousands } from "./page.ts";

/** The survey (arXiv 1710.09282 v9, section IV): VGG-16 on CIFAR-10, error in percent and rate. */
const published: Readonly<Record<string, readonly [error: string, rate: string]>> = {
  plain: ["9.85", "1"],
  mba: ["9.76", "2"],
  crelu: ["9.92", "2"],
  circ: ["10.23", "4"],
  dcnn: ["9.65", "1.62"],
};

export function filtersSection(runs: Runs<FiltersBench>): string[] {
  const [cpu] = Object.keys(runs).slice(-1);
  const { scratch, tied, alike, budget, tune } = latest(runs);
  return [
    "## Transferred filters",
    ...scratchPart(scratch, budget.epochs, cpu),
    ...Object.entries(alike).flatMap(([net, rows]) => [
      `### ${titles[net]}: how alike its filters are`,
      "For each filter, or for each kernel of one input channel, the share of its energy that the best copy of another one explains: turned, mirrored, negated and scaled. Noise: the median where the numbers are drawn from one Gaussian; what lies no higher is chance, because a kernel has only nine numbers and many others to resemble. Tenths: how many filters have 0 to 10 %, 10 to 20 %, ...",
      table(
        ["layer", "weight", "filters: median", "noise", "tenths", "kernels: median", "noise"],
        rows.map(({ layer, shape, filters, kernels }) => [
          code(layer),
          shape.join(" x "),
          ...medians(filters),
          filters.tenths.join(" "),
          ...(kernels ? medians(kernels) : ["-", "-"]),
        ]),
      ),
    ]),
    ...Object.entries(tied).flatMap(([net, rows]) => [
      `### ${titles[net]}: filters tied or projected`,
      `Accuracy on the test set right after the step, and after ${code(tune)}. kept: layers that stayed as they were, because copies would have taken no fewer bytes.`,
      table(
        ["recipe", "numbers", "file", "ONNX", ".tersor", "accuracy", "trained", "of", "kept"],
        Object.values(rows).map(tiedRow),
      ),
    ]),
  ];
}

const titles: Readonly<Record<string, string>> = {
  resnet20: "ResNet-20",
  vgg: "The plain small VGG",
};

function scratchPart(
  scratch: FiltersBench["scratch"],
  epochs: number,
  cpu: string,
): readonly string[] {
  const kinds = Object.entries(scratch);
  if (kinds.length === 0) return [];
  const [first] = Object.values(kinds[0][1]);
  const numbers = scratch.plain && Object.values(scratch.plain)[0].params;
  const rows = kinds.map(([kind, bySeed]) => {
    const all: readonly ScratchRow[] = Object.values(bySeed);
    const mean = (of: (row: ScratchRow) => number): number =>
      all.reduce((sum, row) => sum + of(row), 0) / all.length;
    const [{ params, bytes }] = all;
    const speedups = all.flatMap(({ speedup }) => speedup ?? []);
    const [error, rate] = published[kind] ?? ["-", "-"];
    return [
      code(kind),
      `${mean(({ error }) => error).toFixed(2)} %`,
      all.map(({ error }) => error.toFixed(2)).join(", "),
      thousands(params),
      numbers ? `${(numbers / params).toFixed(2)}x` : "-",
      format.bytes(bytes.onnx),
      format.bytes(bytes.packed),
      speedups.length > 0
        ? `${(speedups.reduce((a, b) => a + b, 0) / speedups.length).toFixed(2)}x`
        : "-",
      `${Math.round(mean(({ trainSeconds }) => trainSeconds))} s`,
      error === "-" ? "-" : `${error} %`,
      rate === "-" ? "-" : `${rate}x`,
    ];
  });
  return [
    `${code(`net:vgg-small?width=${first.width}&filters=...`)} trained from scratch on 25,000 images of CIFAR-10, ${epochs} epochs each, tested on the other 10,000. The same width of outputs, fewer stored numbers; crelu and mba also compute half as much. Published: the survey (section IV), VGG-16 with full training, at its own rates; our budget is far smaller, so the order of the rows is to be compared and not their errors. Speed-up: inference over the plain network. ${cpu}.`,
    table(
      [
        ...["filters", "error", "by seed", "numbers", "rate", "ONNX", ".tersor"],
        ...["speed-up", "training", "published error", "published rate"],
      ],
      rows,
    ),
  ];
}

const medians = ({ median, noise }: Alike): string[] => [median.toFixed(2), noise.toFixed(2)];

const tiedRow = ({ recipe, alpha, bytes, accuracy, kept }: TiedRow): string[] => [
  code(recipe),
  `${alpha.params.toFixed(2)}x`,
  `${alpha.bytes.toFixed(2)}x`,
  format.bytes(bytes.onnx),
  format.bytes(bytes.packed),
  `${accuracy.projected.toFixed(2)} %`,
  `${accuracy.trained.toFixed(2)} %`,
  `${accuracy.original.toFixed(2)} %`,
  String(kept),
];
