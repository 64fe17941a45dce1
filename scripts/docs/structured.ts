/** @file docs/benchmarks.md: structured matrices, from bench/results/structured.json and products.json. */
import type { ProductsBench } from "../../bench/products.ts";
import type { Runs } from "../../bench/record.ts";
import type { StructuredBench, StructuredNet, StructuredRow } from "../../bench/structured.ts";
import * as format from "../../src/report/format.ts";
import { code, latest, table } from "./page.ts";

const percent = (error: number): string => `${error.toFixed(2)} %`;

/** A table for each net, with a row for each structure: errors after each step, then bytes. */
export function structuredSection({ nets, cpu }: StructuredBench): string[] {
  return [
    "## Every structured matrix, step by step",
    `Test errors after each step. Projected alone most are no network yet. All structures of a net get the same training with the original as teacher; the trained file is then rounded to 4 bits, or trained further on grids of 4 bits, and packed. Cascades and sums of products lose much where they are only rounded, because the errors of their parts multiply; trained on the grid they keep most. ${cpu}. \`npm run bench:structured\`.`,
    ...Object.values(nets).flatMap(netTable),
  ];
}

function netTable({ title, options, original, rows }: StructuredNet): string[] {
  const names = [...new Set(rows.map(({ structure }) => structure))];
  const of = (name: string): readonly StructuredRow[] =>
    rows.filter(({ structure }) => structure === name);
  const recipes = of(names[0]).map(({ recipe }) => recipe);
  const named = (pattern: RegExp): string => recipes.find((recipe) => pattern.test(recipe)) ?? "";
  const [first, pack] = [recipes[0], "pack"];
  const [train, round] = [named(/^train/), named(/^quantize-weights/)];
  const [learn, learnPack] = [named(/^quantize-lsq[^>]*$/), named(/^quantize-lsq.* > pack$/)];
  const body = names.map((name) => {
    const done = of(name);
    // The first recipe is each structure's own.
    const at = (recipe: string) =>
      recipe === first ? done[0] : done.find((row) => row.recipe === recipe);
    const error = (recipe: string) => (at(recipe) ? percent(at(recipe)?.error as number) : "-");
    const bytes = (recipe: string) =>
      at(recipe) ? format.bytes(at(recipe)?.bytes as number) : "-";
    return [
      code(name),
      String(done[0].numbers),
      ...[first, train, round, learn].map(error),
      ...[train, round, pack, learnPack].map(bytes),
    ];
  });
  return [
    `${title}: error ${percent(original.error)}, ${original.numbers} weights in the layers, ${format.bytes(original.bytes)}. Every structure has ${code(options)}; then ${code(train)}; ${code(round)} or ${code(learn)}.`,
    table(
      [
        ...["structure", "numbers", "projected", "trained", "4 bits", "4 bits, learned"],
        ...["ONNX", "4 bits", ".tersor", ".tersor, learned"],
      ],
      body,
    ),
  ];
}

export function productsSection(runs: Runs<ProductsBench>): string[] {
  const { rows } = latest(runs);
  const tableOf = (layer: "linear" | "convolution", by: string): string => {
    const own = rows.filter((row) => (row.layer ?? "linear") === layer);
    if (own.length === 0) return "Not run.";
    const sizes = Object.keys(own[0].speedup);
    return table(
      ["structure", "width", "work", ...sizes.map((size) => `${by} ${size}`)],
      own.map(({ kind, width, work, speedup }) => [
        kind,
        ...[String(width), String(work)],
        ...sizes.map((size) => `${speedup[Number(size)].toFixed(2)}x`),
      ]),
    );
  };
  return [
    "## Structured matrices that stay products",
    "Speed-up of a linear layer over its matrix where the small products themselves run (`monarch:compute=products`), by width and records at once: CPU time, one thread, timed in turn. Work: multiply-accumulates as a share of the matrix's. `npm run bench:products`.",
    tableOf("linear", "batch"),
    "1x1 convolutions, by the side of one image:",
    tableOf("convolution", "side"),
    `${Object.keys(runs).at(-1)}.`,
  ];
}
