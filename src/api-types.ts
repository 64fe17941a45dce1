/** @file What the functions of the API take and give. */

import type { z } from "zod";
import type { Result } from "./measure/measurement.ts";
import type { distil } from "./methods/distillation/distil.ts";
import type { MethodId } from "./methods/index.ts";
import type { Written } from "./onnx/write.ts";
import type { Wish } from "./recipe/advice.ts";
import type { Advised, AdviseOptions } from "./recipe/advise.ts";
import type { Job, OpenJob } from "./recipe/job.ts";
import type { DataSource, Settings } from "./recipe/prepare.ts";
import type { PresetId } from "./recipe/presets.ts";
import type { OpenRunner } from "./recipe/runner.ts";
import type { Term } from "./recipe/search/aim.ts";
import type { Found, SearchOptions } from "./recipe/search/search.ts";
import type { SensitivityOptions } from "./recipe/sensitivity.ts";
import type { TrainingRun } from "./recipe/step-context.ts";
import type { MethodRef, RecipeInput } from "./recipe/steps.ts";
import type { SurveyOptions } from "./recipe/survey.ts";
import type { Target } from "./recipe/target.ts";
import type { Left } from "./recipe/trials.ts";
import type { Report } from "./report/report.ts";
import type { TableOptions } from "./report/table.ts";
import type { trainOptions } from "./train/options.ts";

/** `M` is the list of the recipe's methods, from which the compiler checks the steps' options. */
export interface CompressOptions<M extends readonly MethodRef[] = readonly MethodId[]>
  extends Settings {
  /** The steps, as data or text. Without a recipe the preset is used. */
  readonly recipe?: RecipeInput<M> | undefined;
  /** A ready-made recipe (default "fast"); cannot be combined with `recipe`. */
  readonly preset?: PresetId | undefined;
  /**
   * Whether to simplify the model losslessly (default true), before the steps and after training.
   */
  readonly simplify?: boolean | undefined;
  /**
   * Limits that the result is to meet (`missedTargets` says which it misses). What cannot be
   * measured on the data is refused before any work.
   */
  readonly targets?: readonly Target[] | undefined;
  /** Also measure each layer of the original, for the report (default false). */
  readonly layers?: boolean | undefined;
  /** The path that the result's `file` names; nothing is written here. */
  readonly file?: string | undefined;
  /**
   * Called with what decides the result, after everything was checked and before any work. An error
   * that it throws ends the run.
   */
  readonly onJob?: ((job: Job) => Promise<void> | void) | undefined;
}

export interface InspectOptions extends Settings {
  /** Also measure how sensitive each layer is to compression; needs `data`. `{}` for defaults. */
  readonly sensitivity?: SensitivityOptions | undefined;
}

/** What `train` takes: the data, the options of the training, and the settings of a recipe. */
export interface TrainInput extends Omit<CompressOptions, "recipe" | "preset" | "calib"> {
  /** Records to train on. A seeded part of them is held out: it only scores the model. */
  readonly data: DataSource | string;
  /** Records to measure the result on (default: the held-out part of `data`). */
  readonly test?: DataSource | string | null | undefined;
  /** Options of the step `train`: epochs, rate, loss ... */
  readonly options?: z.input<typeof trainOptions> | undefined;
  /**
   * Train not the model but a copy of it, thinner, shallower or drawn anew, which learns to answer as
   * the model does: the step `distil` in the place of `train`.
   */
  readonly student?: Pick<z.input<typeof distil.options>, "width" | "depth" | "start"> | undefined;
}

/** A compressed model, measured beside the original. */
export interface Compression {
  readonly result: Result;
  readonly baseline: Result;
  readonly report: Report;
  /** The compressed model as an ONNX file, made when it is asked for. */
  readonly bytes: Uint8Array;
  /** The same in pieces, as the file `name`; with weights of more than 2 GB in `name`.data. */
  write(name: string): Written;
  /** The compressed model as a .tersor file. */
  pack(): Uint8Array;
  /** One entry per run of training, with its loss curve. */
  readonly training: readonly TrainingRun[];
  /** Everything that decided the result, as plain data; store the result under `jobHash` of it. */
  readonly job: Job;
  /**
   * Writes the model: as .tersor if the path ends so, else as ONNX. Throws TersorError
   * "cannot-write" or "output-is-input".
   */
  save(path: string): Promise<void>;
  /** The measurements as a text table. */
  table(options?: Partial<TableOptions>): string;
}

export interface SurveyInput
  extends Settings,
    Omit<SurveyOptions, "recipes" | "trains" | "runner"> {
  /** Other processes or machines, which apply the recipes; this process times the products. */
  readonly workers?: OpenRunner | undefined;
  /** As in `CompressOptions`, with what decides all rows. */
  readonly onJob?: ((job: OpenJob) => Promise<void> | void) | undefined;
  /**
   * The recipes to try (default: every method, with the settings that its declaration lists; with
   * `trains` also those that train). Steps with your own methods have to go through `parseRecipe`.
   */
  readonly recipes?: readonly RecipeInput[] | undefined;
  /** Called after each trial with the report so far, to save it before a possible interruption. */
  readonly onReport?: ((report: Report) => Promise<void> | void) | undefined;
}

/** The result of a survey; see Survey for the fields that they share. */
export interface Surveyed {
  readonly report: Report;
  /** All rows, the original's first. */
  readonly results: readonly Result[];
  /** The recipes that no other beats in size, speed and quality at once. */
  readonly pareto: readonly string[];
  /** The recipes that were not measured, each with the reason. */
  readonly left: readonly Left[];
  /** Errors in the code of methods, each of which left its recipe unmeasured. */
  readonly warnings: readonly string[];
  /** What the jobs of all rows have in common. */
  readonly job: OpenJob;
  /** The measurements as a text table. */
  table(options?: Partial<TableOptions>): string;
}

/** What a search takes: targets, as text or parsed, and the settings of a survey. */
export interface SearchInput
  extends Settings,
    Omit<SearchOptions, "targets" | "goal" | "budgetSeconds" | "runner"> {
  /** Limits to meet: "size<=120KB, drop<=0.5" (default: none; then the front is looked for). */
  readonly targets?: string | readonly Target[] | undefined;
  /** What to make least within them, with weights: "size:1, latency:2" (default: see `aimOf`). */
  readonly goal?: string | readonly Term[] | undefined;
  /** Seconds of work (default 600). */
  readonly budgetSeconds?: number | undefined;
  /** As in `SurveyInput`. */
  readonly workers?: OpenRunner | undefined;
  /** As in `SurveyInput`. */
  readonly onJob?: ((job: OpenJob) => Promise<void> | void) | undefined;
  readonly onReport?: ((report: Report) => Promise<void> | void) | undefined;
}

/** The result of a search: what a survey gives, and the row that was looked for. */
export interface Searched
  extends Surveyed,
    Pick<Found, "best" | "missed" | "hypervolume" | "screened"> {}

/** What advice asks for; everything has a default. */
export interface AdviseInput extends Settings, Pick<AdviseOptions, "measured" | "budgetSeconds"> {
  /** What matters (default "size"). */
  readonly goal?: Wish["goal"] | undefined;
  /** Whether pictures show what looks the same after a rotation or a flip (default false). */
  readonly symmetric?: boolean | undefined;
}

/** Facts about a model, and advice that was measured. */
export interface AdvisedModel extends Pick<Advised, "facts" | "advice"> {
  readonly baseline: Result;
  /** The original's row, then those of the recipes that were measured. */
  readonly results: readonly Result[];
}
