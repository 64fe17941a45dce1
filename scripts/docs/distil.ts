/** @file docs/benchmarks.md: distillation, from bench/results/distil.json. */
import type { DistilBench, DistilPart, DistilRow } from "../../bench/distil.ts";
import type { TextRow } from "../../bench/distil-text.ts";
import type { Runs } from "../../bench/record.ts";
import * as format from "../../src/report/format.ts";
import { code, latest, table, thousands } from "./page.ts";

/** What a part of the bench asks. */
const questions: Readonly<Record<string, string>> = {
  mnist:
    "A perceptron of two layers of 800 units on MNIST, taught by LeNet-5 (Hinton et al. 2015, where such a student makes 146 errors alone and 74 with a teacher that makes 67)",
  few: "A perceptron of two layers of 30 units, with a thousand labelled records",
  losses: "Every loss: ResNet-8 taught by ResNet-20 on 5,000 images of CIFAR-10 (JPEG)",
  deep: "FitNets: twenty layers of 24 units on MNIST, deeper and thinner than LeNet-300-100, their teacher; fitnet brings layer 10 to the teacher's first layer before it distils",
  boxes:
    "Outputs that are no scores: a small network finds the box of a drawn shape, from a thousand records whose boxes are inexact; its teacher is wider and saw 8,000",
};

export function distilSection(runs: Runs<DistilBench>): string[] {
  const { parts, text = {}, all } = latest(runs);
  const [cpu] = Object.keys(runs).slice(-1);
  const found = Object.keys(questions).flatMap((name) =>
    parts[name] ? [[name, parts[name]] as const] : [],
  );
  const isThere = (path: string): boolean => {
    const [part, row, seed] = path.split("/");
    return part === "text" ? row in text : Boolean(parts[part]?.rows[row]?.[seed]);
  };
  const missing = all.filter((path) => !isThere(path));
  return [
    "## Distillation",
    `Students from scratch, with and without a teacher, on one budget for all rows of a part. It was chosen for its time alone; the budgets are short, so most students are far from done. Scores are those of the last step on the test set, a number for each seed. ${code("npm run bench:distil")}; CPU seconds of a row, ${cpu}.`,
    ...found.flatMap(([name, part]) => partOf(questions[name], part)),
    ...textPart(text),
    missing.length > 0 ? `Not run yet: ${missing.map(code).join(", ")}.` : "",
  ];
}

function partOf(question: string, { student, teacher, plans, rows }: DistilPart): string[] {
  const [base] = Object.keys(rows);
  const start = meanOf(Object.values(rows[base]));
  const lines = Object.entries(rows).map(([row, seeds]) => {
    const all = Object.values(seeds);
    const gain = meanOf(all) - start;
    const verdict =
      row === base ? "" : `${gain > 0 ? "gains" : "loses"} ${Math.abs(gain).toFixed(2)}`;
    const errors = all.every((each) => each.errors !== null)
      ? all.map((each) => thousands(each.errors as number)).join(", ")
      : "";
    const seconds = all.reduce((sum, each) => sum + each.cpuSeconds, 0) / all.length;
    const scores = all.map(({ value }) => value.toFixed(2)).join(", ");
    return [row, scores, errors, verdict, seconds.toFixed(0), code(plans[row])];
  });
  const { metric } = teacher;
  const unit = metric === "accuracy" ? "accuracy, %" : `${metric}, dB`;
  return [
    `${question}. Student: ${code(student)}, ${thousands(Object.values(rows[base])[0].params)} numbers; teacher: ${teacher.value.toFixed(2)}, ${thousands(teacher.params)} numbers.`,
    table(["loss", unit, "errors", `beside ${base}`, "CPU s", "training"], lines),
  ];
}

const meanOf = (rows: readonly DistilRow[]): number =>
  rows.reduce((sum, { value }) => sum + value / rows.length, 0);

function textPart(text: Readonly<Record<string, TextRow>>): string[] {
  const rows = Object.entries(text);
  if (rows.length === 0) return [];
  const [[, { accuracy, bytes }]] = rows;
  return [
    `A text encoder of two layers (SST-2) as static embeddings, without a step of training: ${accuracy.original.toFixed(2)} % and ${format.bytes(bytes.original)} before.`,
    table(
      ["recipe", "accuracy", "file", "smaller", "speed-up", "CPU s"],
      rows.map(([recipe, row]) => [
        code(recipe),
        `${row.accuracy.compressed.toFixed(2)} %`,
        format.bytes(row.bytes.compressed),
        format.ratio(row.bytes.original / row.bytes.compressed),
        `${row.speedup ?? "-"}${row.ci95 ? ` (${row.ci95.join(" to ")})` : ""}`,
        String(row.cpuSeconds),
      ]),
    ),
  ];
}
