/** @file docs/benchmarks.md: text encoders of many words, from bench/results/sentences.json. */
import type { Runs } from "../../bench/record.ts";
import type { SentenceRun } from "../../bench/sentences.ts";
import * as format from "../../src/report/format.ts";
import { speedup } from "../../src/report/speed.ts";
import { code, latest, table, thousands } from "./page.ts";

export function sentencesSection(runs: Runs<SentenceRun>): string[] {
  const { words, original, rows } = latest(runs);
  const cpu = Object.keys(runs).at(-1);
  return [
    "## Text encoders of many words",
    `A text encoder of two layers with a vocabulary of ${thousands(words)} words, trained here from scratch on the 6,920 sentences of SST-2, which is little: ${original.accuracy.toFixed(2)} %, ${format.bytes(original.bytes)}. Its vocabulary has words that the task does not need, as general tokenizers do. Accuracy: 1,821 test sentences. Recall: of the vectors before its last layer, the ten nearest sentences that stay the nearest. Vocabularies are pruned by the training sentences: a test sentence with other words moves far, which accuracy hardly feels and recall does; who searches a known corpus prunes by that (${code("corpus=")}). ${code("npm run bench:sentences")}; ${cpu}.`,
    table(
      ["recipe", "bytes", "smaller", ".tersor", "accuracy", "recall at 10", "speed-up"],
      Object.entries(rows).map(([recipe, row]) => [
        code(recipe),
        format.bytes(row.bytes),
        format.ratio(original.bytes / row.bytes),
        format.bytes(row.packed),
        `${row.accuracy.toFixed(2)} %`,
        `${row.recall.toFixed(1)} %`,
        speedup(row.speedup, row.ci95),
      ]),
    ),
  ];
}
