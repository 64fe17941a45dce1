/**
 * @file The journal of a search: a file to which a line is added for everything that was measured,
 * and a folder for each trial. A process that is killed loses the line that it was writing.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Result } from "../measure/measurement.ts";
import type { Job } from "../recipe/job.ts";
import type { LayerErrors } from "../recipe/layer-errors.ts";
import type { Screened } from "../recipe/search/candidate.ts";
import { jsonText, resultJson } from "../report/json.ts";
import { numbersNotFinite, restore } from "../util/not-finite.ts";
import { DEATHS, modelFile } from "./survey-state.ts";

type Line =
  | { readonly screened: string; readonly found: Screened }
  | { readonly began: string }
  | { readonly ended: string }
  | { readonly took: string; readonly seconds: number }
  | {
      readonly trial: string;
      readonly row: Result;
      readonly layerErrors: LayerErrors | null;
    };

/** What earlier runs of a search have left. */
export interface Remembered {
  readonly screened: ReadonlyMap<string, Screened>;
  readonly done: readonly Result[];
  readonly doneErrors: readonly LayerErrors[];
  readonly rowSeconds: ReadonlyMap<string, number>;
  /** Recipes that were begun and never ended, more than once: they end the process. */
  readonly deadly: readonly string[];
}

export interface Journal {
  readonly remembered: Remembered;
  addScreened(key: string, found: Screened): void;
  /** To be called before a trial. */
  begin(recipe: string): void;
  /** To be called after a trial, however it ended; what is missing then was the process's end. */
  end(recipe: string): void;
  /** The seconds that a trial took, or a recipe that gave none. */
  addSeconds(recipe: string, seconds: number): void;
  /** Writes the folder of a trial, then its line. */
  addTrial(job: Job, row: Result, bytes: Uint8Array, errors: LayerErrors | null): void;
  /** The path of a recipe's model. */
  fileOf(recipe: string): string;
}

/** The path of the journal of a search in `folder`. */
export const journalFile = (folder: string): string => join(folder, "journal.jsonl");

/** Opens the journal in `folder`; with `isNew` what is there is removed. */
export function openJournal(folder: string, isNew: boolean): Journal {
  const file = journalFile(folder);
  const trials = join(folder, "trials");
  if (isNew) for (const path of [file, trials]) rmSync(path, { recursive: true, force: true });
  mkdirSync(trials, { recursive: true });
  for (const name of readdirSync(trials)) {
    if (name.startsWith(".")) rmSync(join(trials, name), { recursive: true, force: true });
  }
  const folderOf = (recipe: string): string => join(trials, modelFile(recipe).slice(0, -5));
  const fileOf = (recipe: string): string => join(folderOf(recipe), "model.onnx");
  const remembered = recall(file, fileOf);
  const add = (line: Line): void => {
    const notFinite = numbersNotFinite(line);
    const marked = Object.keys(notFinite).length > 0 ? { ...line, notFinite } : line;
    appendFileSync(file, `${JSON.stringify(marked)}\n`);
  };
  return {
    remembered,
    fileOf,
    addScreened: (key, found) => add({ screened: key, found }),
    begin: (recipe) => add({ began: recipe }),
    end: (recipe) => add({ ended: recipe }),
    addSeconds: (recipe, seconds) => add({ took: recipe, seconds }),
    addTrial(job, row, bytes, layerErrors) {
      const [own, draft] = [folderOf(row.recipe), join(trials, `.${process.pid}.tmp`)];
      rmSync(draft, { recursive: true, force: true });
      mkdirSync(draft);
      writeFileSync(join(draft, "model.onnx"), bytes);
      writeFileSync(join(draft, "job.json"), jsonText(job));
      writeFileSync(join(draft, "result.json"), jsonText(resultJson(row)));
      rmSync(own, { recursive: true, force: true });
      renameSync(draft, own);
      add({ trial: row.recipe, row, layerErrors });
    },
  };
}

/** Reads the journal. A line that was not written whole is cut off, as are all after it. */
function recall(file: string, fileOf: (recipe: string) => string): Remembered {
  const screened = new Map<string, Screened>();
  const rows = new Map<string, Result>();
  const errors: LayerErrors[] = [];
  const rowSeconds = new Map<string, number>();
  const begun = new Map<string, number>();
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  let whole = 0;
  for (const part of text.split("\n").slice(0, -1)) {
    const line = parsed(part);
    if (!line) break;
    whole += Buffer.byteLength(part) + 1;
    if ("screened" in line) screened.set(line.screened, line.found);
    else if ("began" in line) begun.set(line.began, (begun.get(line.began) ?? 0) + 1);
    else if ("ended" in line) begun.delete(line.ended);
    else if ("took" in line) {
      begun.delete(line.took);
      rowSeconds.set(line.took, line.seconds);
    } else {
      begun.delete(line.trial);
      const size = statSync(fileOf(line.trial), { throwIfNoEntry: false })?.size;
      if (size !== line.row.bytes.raw) continue;
      rows.set(line.trial, { ...line.row, file: fileOf(line.trial) });
      if (line.layerErrors) errors.push(line.layerErrors);
    }
  }
  if (whole < Buffer.byteLength(text)) truncateSync(file, whole);
  const deadly = [...begun].filter(([, times]) => times >= DEATHS).map(([recipe]) => recipe);
  return { screened, done: [...rows.values()], doneErrors: errors, rowSeconds, deadly };
}

function parsed(text: string): Line | null {
  try {
    const { notFinite = {}, ...line } = JSON.parse(text);
    restore(line, notFinite);
    return line;
  } catch {
    return null;
  }
}
