/** @file docs/benchmarks.md: fine-tunes packed against their base, from bench/results/delta.json. */

import type { DeltaRow } from "../../bench/delta.ts";
import type { Runs } from "../../bench/record.ts";
import * as format from "../../src/report/format.ts";
import { latest, table } from "./page.ts";

export interface DeltaBench {
  readonly rows: readonly DeltaRow[];
}

export function deltaSection(runs: Runs<DeltaBench>): string[] {
  const { rows } = latest(runs);
  const share = (bytes: number | null, { baseBytes }: DeltaRow): string =>
    bytes === null ? "-" : `${format.bytes(bytes)}, ${((bytes / baseBytes) * 100).toFixed(1)} %`;
  const percent = (x: number): string => `${x.toFixed(2)} %`;
  return [
    "## Fine-tunes as deltas of their base",
    "Three fine-tunes of each network, 300 steps of 64 records, packed with `tersor pack tuned.onnx --base base.onnx`. Rank 4: the same with the nearest change of rank 4 in each matrix, as LoRA leaves it, and no other. Shares are of the base's ONNX file. Moved: root mean square of the change over that of the weights. Error: of the outputs against those of the fine-tune, root mean square over their standard deviation, on records that nothing was trained on; int8: of `quantize-weights:bits=8`. `npm run bench:delta`.",
    table(
      [
        ...["base", "task", "change", "moved", "alone", "delta", "exact delta", "error", "int8"],
        ...["accuracy: base", "fine-tune", "delta", "int8"],
      ],
      rows.map((row) => [
        ...[row.base, row.task, row.change, percent(row.moved)],
        ...[row.alone, row.delta, row.exact].map((bytes) => share(bytes, row)),
        ...[row.error, row.int8Error].map(percent),
        ...(["base", "tuned", "delta", "int8"] as const).map((of) => percent(row.accuracy[of])),
      ]),
    ),
  ];
}
