/** @file Flags of commands that train: teacher, checkpoints, recording and repeating a run. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { errors, fail, isAborted } from "../errors.ts";
import { type FileCheckpoints, fileCheckpoints } from "../node/checkpoints.ts";
import { saveFile } from "../node/files.ts";
import { ensemble, load } from "../node.ts";
import type { Job } from "../recipe/job.ts";
import type { Loaded } from "../recipe/load.ts";
import type { Settings } from "../recipe/prepare.ts";
import type { TrainingRun } from "../recipe/step-context.ts";
import { plural } from "../report/format.ts";
import { jsonText } from "../report/json.ts";
import type { ComputeChoice } from "../train/state.ts";
import type { Flag } from "./flags.ts";
import { callOfRun, checkSameJob, type StoredRun } from "./resume.ts";
import type { Shell } from "./shell.ts";

export interface TrainingFlags {
  readonly teacher?: string;
  readonly resume?: true;
  readonly deterministic?: true;
  readonly record?: string;
  readonly replay?: string;
}

/** The flags of all commands whose recipes may train. */
export const learningFlags: readonly Flag[] = [
  {
    flags: "--teacher <model>",
    doc: "A model whose outputs to learn from (distillation), or several as one: a.onnx,b.onnx.",
  },
  {
    flags: "--deterministic",
    doc: "Choose nothing by measured time: equal seed, threads and machine give equal bytes.",
  },
];

/** The flags of commands that make one model. */
export const trainingFlags: readonly Flag[] = [
  ...learningFlags,
  {
    flags: "--resume",
    doc: "Go on with an interrupted run from its checkpoint, with the flags it was begun with.",
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
  /** Writes what the run is about beside its output, or checks it against what was begun. */
  onJob(job: Job): Promise<void>;
  /** After an error: deletes what `onJob` wrote, unless there is a checkpoint to go on from. */
  discard(): void;
}

/** The teacher that a flag names, or the ensemble of several. Throws what `load` throws. */
export async function teacherOf(
  { teacher }: Pick<TrainingFlags, "teacher">,
  shell: Shell,
): Promise<Loaded | null> {
  if (teacher === undefined) return null;
  const names = existsSync(teacher) ? [teacher] : teacher.split(",");
  return ensemble(await Promise.all(names.map((name) => load(name, shell.settings))));
}

/** What a command that trains was called with. */
export interface TrainingCall {
  readonly flags: TrainingFlags;
  /** The model as the user typed it. */
  readonly model: string;
  /** The command's output. */
  readonly file: string;
  /** The run to go on with. */
  readonly run: StoredRun | null;
  /** See `checkSameJob`. */
  readonly names?: Readonly<Record<string, string>>;
}

/** The file that holds a run until it is complete: its job and its flags. */
export const jobFile = (output: string): string => `${output}.job.json`;

/**
 * Loads the teacher and the record to replay. The checkpoints and the job of a run are files beside
 * the command's output. Throws TersorError "bad-usage" for a file that is no record, and what
 * `load` throws; `onJob` throws "bad-resume".
 */
export async function trainingSettings(
  { flags, model, file, run, names }: TrainingCall,
  shell: Shell,
): Promise<TrainingSettings> {
  const checkpoints = fileCheckpoints(file, run !== null);
  let isBegun = false;
  return {
    teacher: await teacherOf(flags, shell),
    computeChoice: flags.replay === undefined ? null : readChoice(flags.replay),
    deterministic: flags.deterministic,
    checkpoints,
    async onJob(job) {
      if (run) return checkSameJob(run, job, { ...flags }, model, names);
      if (existsSync(jobFile(file))) {
        shell.note(`${jobFile(file)}: an interrupted run is replaced (--resume goes on with one)`);
      }
      forget(checkpoints, file);
      if (!job.training) return;
      await saveFile(jobFile(file), jsonText({ job, ...callOfRun({ ...flags }) }));
      isBegun = true;
    },
    discard() {
      if (isBegun && !checkpoints.last) forget(checkpoints, file);
    },
  };
}

/** Deletes the checkpoints of a run, then what it was about: after that it cannot go on. */
function forget(checkpoints: FileCheckpoints, file: string): void {
  checkpoints.clear();
  rmSync(jobFile(file), { force: true });
}

/** Deletes the checkpoints and the job; to be called after the model was written. */
export function endTraining(
  { checkpoints }: TrainingSettings,
  { file, run }: Pick<TrainingCall, "file" | "run">,
  shell: Shell,
): void {
  if (run && !checkpoints.resumed) {
    shell.warn("--resume: there was no checkpoint, so the run began anew");
  }
  forget(checkpoints, file);
}

/**
 * Does work that may train. If the user ends it and there is a checkpoint to go on from, this is
 * said, and the result is null. All other errors are thrown.
 */
export async function untilInterrupted<T>(
  command: string,
  { checkpoints, discard }: TrainingSettings,
  shell: Shell,
  work: () => Promise<T>,
): Promise<T | null> {
  try {
    return await work();
  } catch (cause) {
    discard();
    const { last } = checkpoints;
    if (!isAborted(cause) || !last) throw cause;
    const saved = `the state after ${plural(last.steps, "step")} is saved in ${last.path}`;
    shell.interrupted(command, saved);
    return null;
  }
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
