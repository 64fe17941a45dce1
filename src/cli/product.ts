/** @file What `compress` and `train` write and print: the model, a report, a training record. */
import { resolve } from "node:path";
import type { Compression } from "../api-types.ts";
import { errors, fail } from "../errors.ts";
import { checkOutput, type FileContent, type SaveOptions, saveFile } from "../node/files.ts";
import type { Loaded } from "../recipe/load.ts";
import { capitalized } from "../report/format.ts";
import { htmlReport } from "../report/html.ts";
import { jsonText, resultReportJson } from "../report/json.ts";
import { recordsText } from "../report/records.ts";
import { resultLine } from "../report/table.ts";
import { inputsOf, linkFrom } from "./paths.ts";
import type { StoredRun } from "./resume.ts";
import type { Shell } from "./shell.ts";
import { endTraining, recordText, type TrainingFlags, type TrainingSettings } from "./training.ts";

export interface ProductFlags extends TrainingFlags {
  readonly report?: string;
}

/** The files that a command will write. */
export interface Product {
  /** The model. */
  readonly file: string;
  readonly flags: ProductFlags;
  readonly saving: SaveOptions;
  /** The run that is gone on with. */
  readonly run: StoredRun | null;
}

/**
 * Checks, before anything is computed, that all output files can be written: no two have the same
 * name, none exists (unless --force) and none is the input model. Throws TersorError "bad-usage",
 * "output-exists", "output-is-input" or "cannot-write".
 */
export function planProduct(
  shell: Shell,
  path: string,
  model: Loaded,
  file: string,
  flags: ProductFlags,
  run: StoredRun | null,
): Product {
  // A run that goes on may have been killed right after it wrote them.
  const saving = { inputs: inputsOf(path, model), force: shell.force, overwrite: run !== null };
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
  return { file, flags, saving, run };
}

/**
 * Prints the warnings, then writes the model, the training record and the report. The model is written
 * first, so that an error at one of the others does not lose the work.
 */
export async function saveProduct(
  shell: Shell,
  { file, flags, saving, run }: Product,
  content: FileContent,
  done: Compression,
  training: TrainingSettings,
): Promise<void> {
  for (const warning of done.result.warnings) shell.warn(warning);
  await saveFile(file, content, saving);
  if (flags.record !== undefined) {
    await saveFile(flags.record, recordText(done.training, shell), saving);
  }
  endTraining(training, { file, run }, shell);
  if (flags.report !== undefined) {
    const report = { ...done.report, commandLine: shell.commandLine };
    await saveFile(flags.report, htmlReport(report, { linkOf: linkFrom(flags.report) }), saving);
  }
}

/** Prints the result: with --json as one object, else as two lines and what `more` prints. */
export function printProduct(
  shell: Shell,
  command: "compress" | "train",
  { file }: Product,
  { result, baseline, report }: Compression,
  more: () => void = () => {},
): void {
  if (shell.json) {
    shell.print(jsonText(resultReportJson(command, report.model, result)));
    return;
  }
  shell.print(`${result.recipe} -> ${file}`);
  shell.print(resultLine(result, baseline));
  const records = recordsText(result.metric?.records);
  if (records !== null) shell.print(`${capitalized(records)}.`);
  more();
}
