/** @file The table of presets in README.md: what each needs, takes and gives. */
import type { Runs } from "../../bench/record.ts";
import type { Need } from "../../src/methods/method.ts";
import { presets } from "../../src/recipe/presets.ts";
import * as format from "../../src/report/format.ts";
import { shortNeeds } from "../../src/report/method-text.ts";
import { code, latest, table } from "./page.ts";

/** The content of bench/results/presets.json. */
export interface PresetBench {
  readonly command: string;
  /** Threads and version of Node. */
  readonly setting: string;
  readonly model: { readonly name: string; readonly bytes: number };
  readonly presets: Readonly<
    Record<
      string,
      {
        readonly needs: readonly Need[];
        readonly cpuSeconds: number;
        readonly bytes: number;
        readonly packed: number;
        readonly accuracy: number;
        readonly drop: number;
      }
    >
  >;
}

export function presetTable(runs: Runs<PresetBench>): string {
  const { command, setting, model, presets: rows } = latest(runs);
  const ids = Object.keys(presets) as (keyof typeof presets)[];
  const body = ids.map((id) => {
    const row = rows[id];
    const seconds = Object.values(runs).map((run) => run.presets[id]?.cpuSeconds);
    const times = seconds.map((cpu) => (cpu === undefined ? "" : format.duration(cpu)));
    if (!row) return [code(id), presets[id].summary, "", "", "", "", ...times];
    return [
      code(id),
      presets[id].summary,
      shortNeeds({ needs: row.needs }) || "nothing",
      format.bytes(row.bytes),
      format.bytes(row.packed),
      format.points(row.drop),
      ...times,
    ];
  });
  const head = ["preset", "what it does", "needs", "file", "packed", "drop, points"];
  // A column for each CPU.
  const takes = Object.keys(runs).map((cpu) => `takes, ${cpu}`);
  const note = `Measured on ${model.name} (${format.bytes(model.bytes)}) and MNIST: the file, the .tersor file, the drop in accuracy on the test set, and the CPU time of the whole command with its measurements (${setting}; ${code(command)}). Training takes longer with larger models and more records.`;
  return `${table([...head, ...takes], body)}\n\n${note}`;
}
