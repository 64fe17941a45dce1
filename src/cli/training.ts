/** @file Flags of commands that train: teacher, checkpoints, recording and repeating a run. */
import { readFileSync } from "node:fs";
import { errors, fail } from "../errors.ts";
import { type FileCheckpoints, fileCheckpoints } from "../node/checkpoints.ts";
import { load } from "../node.ts";
import type { Settings } from "../recipe/prepare.ts";
import type { TrainingRun } from "../recipe/step-context.ts";
import type { ComputeChoice } from "../train/state.ts";
import type { Flag } from "./flags.ts";
import type { Shell } from "./shell.ts";

export interface TrainingFlags {
  readonly teacher?: string;
  readonly resume?: true;
  readonly deterministic?: true;
  readonly record?: string;
  readonly replay?: string;
}

/** The flags of every command that trains. */
export const trainingFlags: readonly Flag[] = [
  { flags: "--teacher <model>", doc: "A model whose outputs to learn from (distillation)." },
  { flags: "--resume", doc: "Continue an interrupted run from its checkpoint." },
  {
    flags: "--deterministic",
    doc: "Choose nothing by measured time: equal seed, threads and machine give equal bytes.",
  },
  {
    flags: "--record <file>",
    doc: "Write the loss curves and the choices by measured time to a file, for --replay.",
  },
  { flags: "--replay <file>", doc: "Repeat the choices of a run that was written with --record." },
];

/** The settings of the API that the training flags give. */
export interface TrainingSettings
  extends Required<Pick<Settings, "teacher" | "computeChoice" | "deterministic">> {
  readonly checkpoints: FileCheckpoints;
}

/**
 * Loads the teacher and the record to replay. Checkpoints are files beside `file`, the command's
 * output. Throws TersorError "bad-usage" for a file that is no record, and what `load` throws.
 */
export async function trainingSettings(
  flags: TrainingFlags,
  shell: Shell,
  file: string,
): Promise<TrainingSettings> {
  return {
    teacher: flags.teacher === undefined ? null : await load(flags.teacher, shell.settings),
    computeChoice: flags.replay === undefined ? null : readChoice(flags.replay),
    deterministic: flags.deterministic,
    checkpoints: fileCheckpoints(file, flags.resume ?? false),
  };
}

/** Deletes the checkpoints; to be called after the model was written. */
export function endTraining(
  { checkpoints }: TrainingSettings,
  flags: TrainingFlags,
  shell: Shell,
): void {
  if (flags.resume && !checkpoints.resumed) {
    shell.warn("--resume: there was no checkpoint, so the run began anew");
  }
  checkpoints.clear();
}

/** The file that `--replay` reads; it also holds the loss curves, for plots. */
export function recordText(runs: readonly TrainingRun[], shell: Shell): string {
  const { seed = 1, threads = null } = shell.settings;
  const command = shell.commandLine;
  return `${JSON.stringify({ command, seed, threads, computeChoice: choiceOf(runs), runs }, null, 1)}\n`;
}

/**
 * One choice for all runs of a recipe: the first run's shape, and the forms of all. These are
 * stored under the sizes of each convolution, so those of different runs do not collide.
 */
function choiceOf(runs: readonly TrainingRun[]): ComputeChoice | null {
  const choices = runs.flatMap(({ computeChoice }) => computeChoice ?? []);
  if (choices.length === 0) return null;
  const forms = Object.assign({}, ...choices.map((computeChoice) => computeChoice.forms));
  return { shape: choices[0].shape, forms };
}

/** Reads the choice from a file that `--record` wrote. Throws TersorError "bad-usage". */
function readChoice(path: string): ComputeChoice {
  try {
    const { computeChoice } = JSON.parse(readFileSync(path, "utf8")) as {
      computeChoice: ComputeChoice;
    };
    if (/^(workers|threads)$/.test(computeChoice.shape) && typeof computeChoice.forms === "object")
      return computeChoice;
    throw new Error("says not how it computed");
  } catch (cause) {
    const why = "is no record of a training run";
    throw fail(errors.badUsage(`--replay ${path}`, why, "Write one with --record"), cause);
  }
}
