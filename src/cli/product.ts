/** @file What a command that makes a model leaves behind: the model, its report, the training's record. */
import { resolve } from "node:path";
import type { Compression } from "../api.ts";
import { errors, fail } from "../errors.ts";
import { checkOutput, type SaveOptions, saveFile } from "../node/files.ts";
import type { Loaded } from "../recipe/load.ts";
import { htmlReport } from "../report/html.ts";
import { jsonText, resultReportJson } from "../report/json.ts";
import { resultLine } from "../report/table.ts";
import { inputsOf } from "./paths.ts";
import type { Shell } from "./shell.ts";
import { endTraining, recordText, type TrainingFlags, type TrainingSettings } from "./training.ts";

export interface ProductFlags extends TrainingFlags {
  readonly report?: string;
}

/** Where everything goes. */
export interface Product {
  readonly file: string;
  readonly flags: ProductFlags;
  readonly saving: SaveOptions;
}

/** Before anything is computed: each name is free, and none is the model's own. */
export function planProduct(
  shell: Shell,
  path: string,
  model: Loaded,
  file: string,
  flags: ProductFlags,
): Product {
  const saving = { inputs: inputsOf(path, model), force: shell.force };
  checkOutput(file, saving);
  for (const name of ["report", "record"] as const) {
    const other = flags[name];
    if (other === undefined) continue;
    if (resolve(other) === resolve(file)) {
      const why = "is where the model goes, too";
      throw fail(errors.badUsage(`--${name} ${other}`, why, "Name another file"));
    }
    checkOutput(other, saving);
  }
  return { file, flags, saving };
}

/** The model first: what may fail later costs a report, no work. */
export async function saveProduct(
  shell: Shell,
  { file, flags, saving }: Product,
  bytes: Uint8Array,
  done: Compression,
  training: TrainingSettings,
): Promise<void> {
  await saveFile(file, bytes, saving);
  if (flags.record !== undefined) {
    await saveFile(flags.record, recordText(done.training, shell), saving);
  }
  endTraining(training, flags, shell);
  if (flags.report !== undefined) {
    const report = { ...done.report, commandLine: shell.commandLine };
    await saveFile(flags.report, htmlReport(report), saving);
  }
}

/** Its measurements: as JSON, or in two lines and what `more` adds. */
export function printProduct(
  shell: Shell,
  command: "compress" | "train",
  { file }: Product,
  { result, baseline, report }: Compression,
  more: () => void = () => {},
): void {
  for (const warning of result.warnings) shell.warn(warning);
  if (shell.json) {
    shell.print(jsonText(resultReportJson(command, report.model, result)));
    return;
  }
  shell.print(`${result.recipe} -> ${file}`);
  shell.print(resultLine(result, baseline));
  more();
}
