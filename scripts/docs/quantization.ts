/** @file Writes docs/quantization.md: what each method of the family is, needs, and gave. */

import {
  benchModels,
  type QuantizationRow,
  type QuantizationRun,
  recipesOfFamily,
} from "../../bench/quantization-plan.ts";
import type { Runs } from "../../bench/record.ts";
import { aboutOf } from "../../src/measure/about.ts";
import { families } from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { defaultNeeds, needsByOption } from "../../src/recipe/needs.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { dropInterval } from "../../src/report/columns.ts";
import * as format from "../../src/report/format.ts";
import { needsText } from "../../src/report/method-text.ts";
import { code, latest, page, table } from "./page.ts";

/** A trained row as bench:binary writes it; others are read into the same shape. */
interface TrainedRow {
  readonly recipe: string;
  readonly drop: number;
  readonly bytes: { readonly onnx: number | null; readonly packed: number };
}

/** The results of the benches that the page reads; null where one has not been run. */
interface Benches {
  readonly quantization: Runs<QuantizationRun> | null;
  readonly binary: { readonly rows: Readonly<Record<string, Record<string, TrainedRow>>> } | null;
  readonly forms: {
    readonly learned: readonly { recipe: string; onnx: number; packed: number; accuracy: number }[];
  } | null;
  readonly resnet20: {
    readonly rows: readonly { from: string | null; recipe: string; bytes: number; drop: number }[];
  } | null;
}

const methods = Object.entries(families.quantization) as unknown as [string, Method][];

export function quantizationPage(benches: Benches): string {
  const run = benches.quantization && latest(benches.quantization);
  return page(
    "# Quantization",
    "What each method of the family computes, what it needs, and what it gave on three models. Options are in [methods.md](methods.md); what the figures mean is in [results.md](results.md). W is a weight, u the numbers behind it that learn, x what a layer reads, E the loss.",
    table(
      ["method", "equation", "source", "needs"],
      methods.map(([id, method]) => [
        `[${id}](methods.md#${id})`,
        code(method.equation ?? method.summary),
        method.cite,
        needsText({ needs: defaultNeeds(method), needsWith: needsByOption(method) }, code),
      ]),
    ),
    "## Without training",
    "Each method with its defaults, and with 4 bits where bits are an option and 4 is not the default. These are comparisons of defaults, not of what a method can reach: `bits`, `block` and calibration change most. ResNet-20 is calibrated on 512 training records; of the other two models' records a fifth calibrates and the others judge. Drops have their 95 % interval. Seconds are wall time of the steps on a machine with other work. `npm run bench:quantization`.",
    ...Object.entries(benchModels).flatMap(([model, title]) => modelSection(model, title, run)),
    "## With training",
    "Rows of other benches, trained and measured there: `npm run bench:binary`, `bench:forms`, `bench:resnet20`.",
    table(
      ["method", "model", "recipe", "file", "packed", "accuracy"],
      methods
        .filter(([, method]) => defaultNeeds(method).includes("training"))
        .flatMap(([id]) => trainedRows(id, benches)),
    ),
  );
}

/** The table of one model; a recipe without a row says so. */
function modelSection(model: string, title: string, run: QuantizationRun | null): string[] {
  const original = run?.originals[model];
  const rows = run?.rows.filter((row) => row.model === model) ?? [];
  const unit = original ? aboutOf({ name: original.metric }).dropUnit : "";
  const before = original
    ? `The original: ${format.bytes(original.bytes.onnx)} (packed ${format.bytes(original.bytes.packed)}), ${original.metric} ${format.metricValue({ name: original.metric }, original.value)} on ${format.count(original.records)} records.`
    : "Not run yet.";
  return [
    `### ${title}`,
    before,
    table(
      [
        "recipe",
        "file",
        "packed",
        `drop${unit ? `, ${unit}` : ""}`,
        "95 %",
        "flips, %",
        "SQNR, dB",
        "s",
      ],
      recipesOfFamily().map((recipe) => [
        code(recipe),
        ...cells(rows.find((row) => row.recipe === recipe)),
      ]),
    ),
  ];
}

function cells(row: QuantizationRow | undefined): string[] {
  const empty = (text: string) => [text, "", "", "", "", "", ""];
  if (!row) return empty("not run yet");
  if (row.reason !== null) return empty(row.reason);
  const { bytes, drop, ci95, flips, sqnr, seconds } = row;
  return [
    format.bytes(bytes?.onnx ?? null),
    format.bytes(bytes?.packed ?? null),
    format.points(drop ?? null),
    dropInterval(ci95 ?? null),
    format.fixed(flips ?? null),
    format.fixed(sqnr ?? null, 1),
    format.fixed(seconds ?? null, 1),
  ];
}

/** What other benches measured of a method; one row that says so where there is nothing. */
function trainedRows(id: string, { binary, forms, resnet20 }: Benches): string[][] {
  const ofBinary = Object.entries(binary?.rows ?? {}).flatMap(([model, rows]) =>
    Object.values(rows).map(({ drop, ...row }) => ({ model, ...row, accuracy: lost(drop) })),
  );
  const ofForms = (forms?.learned ?? []).map(({ recipe, onnx, packed, accuracy }) => ({
    ...{ model: "lenet5", recipe, accuracy: `${format.fixed(accuracy)} %` },
    bytes: { onnx, packed },
  }));
  // Rows that go on from an earlier product are not what their recipe alone gives.
  const ofResnet = (resnet20?.rows ?? [])
    .filter(({ from }) => from === null)
    .map(({ recipe, bytes, drop }) => ({
      ...{ model: "resnet20", recipe, accuracy: lost(drop) },
      bytes: { onnx: null, packed: bytes },
    }));
  const found = [...ofBinary, ...ofForms, ...ofResnet].filter(({ recipe }) =>
    parseRecipe(recipe).some((step) => step.id === id),
  );
  if (found.length === 0) {
    const isBinary = /^(binarize|ternarize)-/.test(id);
    const why = isBinary ? `needs training: ${code("npm run bench:binary")}` : "not run yet";
    return [[id, "", why, "", "", ""]];
  }
  return found.map(({ model, recipe, accuracy, bytes }) => [
    id,
    model,
    code(recipe),
    format.bytes(bytes.onnx),
    format.bytes(bytes.packed),
    accuracy,
  ]);
}

const lost = (drop: number): string => `drop ${format.points(drop)} points`;
