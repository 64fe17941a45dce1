/** @file What commands that train have in common: a teacher, going on, and repeating a run to the byte. */
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

export const trainingFlags: readonly Flag[] = [
  { flags: "--teacher <model>", doc: "A model to learn from: distillation." },
  { flags: "--resume", doc: "Go on from the checkpoint of a run that was interrupted." },
  {
    flags: "--deterministic",
    doc: "No choice by the clock: the same bytes again for the same seed, threads and machine kind.",
  },
  {
    flags: "--record <file>",
    doc: "Write how the training went and what was chosen by the clock.",
  },
  { flags: "--replay <file>", doc: "Choose what an earlier run's record says." },
];

export interface TrainingSettings
  extends Required<Pick<Settings, "teacher" | "computeChoice" | "deterministic">> {
  readonly checkpoints: FileCheckpoints;
}

/** `file` is where the product goes: checkpoints lie beside it. */
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

/** After the product is written. */
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

/** What `--replay` takes, with the curves for who wants to plot them. */
export function recordText(runs: readonly TrainingRun[], shell: Shell): string {
  const { seed = 1, threads = null } = shell.settings;
  const command = shell.commandLine;
  return `${JSON.stringify({ command, seed, threads, computeChoice: choiceOf(runs), runs }, null, 1)}\n`;
}

/** One for all runs of a recipe: forms are told apart by sizes. */
function choiceOf(runs: readonly TrainingRun[]): ComputeChoice | null {
  const choices = runs.flatMap(({ computeChoice }) => computeChoice ?? []);
  if (choices.length === 0) return null;
  const forms = Object.assign({}, ...choices.map((computeChoice) => computeChoice.forms));
  return { shape: choices[0].shape, forms };
}

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
