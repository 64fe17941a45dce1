/** @file docs/benchmarks.md: structured matrices, from bench/results/structured.json and products.json. */
import type { ProductsBench } from "../../bench/products.ts";
import type { Runs } from "../../bench/record.ts";
import type { StructuredBench, StructuredRow } from "../../bench/structured.ts";
import * as format from "../../src/report/format.ts";
import { code, latest, table } from "./page.ts";

const percent = (error: number): string => `${error.toFixed(2)} %`;

/** A row for each structure, a pair of columns for each step. */
export function structuredSection({ original, rows, cpu }: StructuredBench): string[] {
  const names = [...new Set(rows.map(({ structure }) => structure))];
  const steps = (name: string): readonly StructuredRow[] =>
    rows.filter(({ structure }) => structure === name);
  const recipes = steps(names[0]).map(({ recipe }) => recipe);
  const body = names.map((name) => {
    const done = steps(name);
    return [
      code(name),
      String(done[0].numbers),
      ...done.map(({ error }) => percent(error)),
      ...done.slice(1).map(({ bytes }) => format.bytes(bytes)),
    ];
  });
  const [first, ...after] = recipes;
  const ratio = /ratio=([\d.]+)/.exec(first)?.[1];
  return [
    "## Every structured matrix on LeNet-300-100",
    `Test error of the original: ${percent(original.error)}, ${original.numbers} weights in layers, ${format.bytes(original.bytes)}. Every structure with ratio=${ratio}, so that all weights together are at least 8 times fewer, then ${after.map(code).join(", ")}, with the original as teacher and the same training for all. Projected alone most are no network yet; trained they are. ${cpu}. \`npm run bench:structured\`.`,
    table(
      [
        "structure",
        "numbers",
        "projected",
        "trained",
        "4 bits",
        "packed",
        "ONNX",
        "4 bits",
        ".tersor",
      ],
      body,
    ),
  ];
}

export function productsSection(runs: Runs<ProductsBench>): string[] {
  const { rows } = latest(runs);
  const batches = Object.keys(rows[0].speedup);
  return [
    "## Structured matrices that stay products",
    "Speed-up of a linear layer over its matrix where the small products themselves run (`monarch:compute=products`), by width and records at once: CPU time, one thread, timed in turn. Work: multiply-accumulates as a share of the matrix's. `npm run bench:products`.",
    table(
      ["structure", "width", "work", ...batches.map((batch) => `batch ${batch}`)],
      rows.map(({ kind, width, work, speedup }) => [
        kind,
        String(width),
        String(work),
        ...batches.map((batch) => `${speedup[Number(batch)].toFixed(2)}x`),
      ]),
    ),
    `${Object.keys(runs).at(-1)}.`,
  ];
}
