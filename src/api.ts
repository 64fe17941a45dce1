/** @file The API bound to a platform: what a program calls, and what the command line is made of. */
import type { z } from "zod";
import type { DataOptions } from "./data/options.ts";
import { errors, fail, TersorError } from "./errors.ts";
import { defaultThresholds, opinions } from "./measure/marks.ts";
import type { Result } from "./measure/measurement.ts";
import { familyOf, type MethodId, methods } from "./methods/index.ts";
import type { Method, Need } from "./methods/method.ts";
import { describeOptions, type OptionInfo } from "./options.ts";
import type { Platform } from "./platform.ts";
import { type BenchOptions, type BenchRun, bench } from "./recipe/bench.ts";
import { type Compressed, compress } from "./recipe/compress.ts";
import type { Environment } from "./recipe/environment.ts";
import { evaluate } from "./recipe/evaluate.ts";
import { type Inspection, infoOf, inspect } from "./recipe/inspect.ts";
import { type Job, jobOf, type OpenJob, openJobOf } from "./recipe/job.ts";
import { type Loaded, type LoadOptions, loadModel, type ModelInput } from "./recipe/load.ts";
import {
  checkNeeds,
  defaultNeeds,
  type NeedsWith,
  needsByOption,
  needsTraining,
  noRecords,
} from "./recipe/needs.ts";
import { type PackedModel, type PackSettings, pack } from "./recipe/pack.ts";
import { type DataSource, prepare, type Settings } from "./recipe/prepare.ts";
import { defaultPreset, type PresetId, presetRecipe } from "./recipe/presets.ts";
import type { TrainingRun } from "./recipe/step-context.ts";
import { type MethodRef, parseRecipe, type RecipeInput, type Step } from "./recipe/steps.ts";
import { type SurveyOptions, survey } from "./recipe/survey.ts";
import { holdOut } from "./recipe/train.ts";
import type { Report } from "./report/report.ts";
import { surveyTable, type TableOptions } from "./report/table.ts";
import type { trainOptions } from "./train/options.ts";

/** `M`: the methods of the recipe's steps, in order. */
export interface CompressOptions<M extends readonly MethodRef[] = readonly MethodId[]>
  extends Settings {
  /** Steps, or their text; without one the preset decides. */
  readonly recipe?: RecipeInput<M> | undefined;
  readonly preset?: PresetId | undefined;
  /** Simplify the model losslessly (default true): before the first step, and once training is done. */
  readonly simplify?: boolean | undefined;
  /** Also time each layer of the original, for the report (default false: it takes a second). */
  readonly layers?: boolean | undefined;
  /** Where the model will go, for the result's `file`. */
  readonly file?: string | undefined;
}

export interface TrainInput extends Omit<CompressOptions, "recipe" | "preset" | "calib"> {
  /** Records to train on; a seeded part of them only judges. */
  readonly data: DataSource | string;
  /** Other records to measure on; without them the part that judges. */
  readonly test?: DataSource | string | null | undefined;
  /** Epochs, rate, loss ...: what the step `train` takes. */
  readonly options?: z.input<typeof trainOptions> | undefined;
}

/** A compressed model, measured beside the original. */
export interface Compression {
  readonly result: Result;
  readonly baseline: Result;
  readonly report: Report;
  /** The ONNX file. */
  readonly bytes: Uint8Array;
  /** The .tersor file. */
  pack(): Uint8Array;
  /** Runs of training on the way, with their loss curves. */
  readonly training: readonly TrainingRun[];
  /** All that decided the result, as plain data: `jobHash` of it is a key to keep the result under. */
  readonly job: Job;
  /** As .tersor where the path ends so, else as ONNX. */
  save(path: string): Promise<void>;
  /** The figures as a text table. */
  table(options?: Partial<TableOptions>): string;
}

export interface SurveyInput extends Settings, Omit<SurveyOptions, "recipes"> {
  /** The recipes to try (default: every method at its telling settings); your own methods by `parseRecipe`. */
  readonly recipes?: readonly RecipeInput[] | undefined;
  /** Called with the report so far after each trial, so that an interruption loses nothing. */
  readonly onReport?: ((report: Report) => Promise<void> | void) | undefined;
}

export interface Surveyed {
  readonly report: Report;
  readonly results: readonly Result[];
  /** Recipes that nothing else beats in size, speed and quality at once. */
  readonly pareto: readonly string[];
  /** Recipes that were not measured, and why. */
  readonly left: readonly { readonly recipe: string; readonly reason: string }[];
  /** Mistakes of methods, each of which left its recipe unmeasured. */
  readonly warnings: readonly string[];
  /** What all rows have in common. */
  readonly job: OpenJob;
  table(options?: Partial<TableOptions>): string;
}

/** A method as `tersor methods` lists it. */
export interface MethodInfo {
  readonly method: string;
  readonly title: string;
  readonly family: string;
  readonly summary: string;
  readonly cite: string;
  /** With its default options. */
  readonly needs: readonly Need[];
  /** Options that make it need more. */
  readonly needsWith: readonly NeedsWith[];
  readonly options: readonly OptionInfo[];
}

/** How a platform writes a file, never over one of `inputs`; one that has no files cannot save. */
export type SaveFile = (
  path: string,
  bytes: Uint8Array,
  inputs: readonly string[],
) => Promise<void>;

export type Tersor = ReturnType<typeof createTersor>;

/** The same functions everywhere: src/node.ts binds them to Node. */
export function createTersor(platform: Platform, saveFile: SaveFile | null = null) {
  const reportOf = (
    command: string,
    inspection: Pick<Inspection, "model" | "layers">,
    settings: Settings,
    part: Pick<Report, "baseline" | "results" | "pareto" | "seconds">,
  ): Report => ({
    command,
    ...part,
    model: inspection.model,
    layers: inspection.layers,
    thresholds: defaultThresholds,
    opinions,
    data: specOf(settings.data),
    platform: `${platform.name}, ${platform.cores} cores`,
    commandLine: `tersor ${command} ${inspection.model.name}`,
    date: new Date().toISOString(),
  });

  const compressionOf = async (
    command: string,
    model: Loaded,
    env: Environment,
    options: Settings & Pick<CompressOptions, "layers" | "simplify">,
    done: Compressed,
    steps: readonly Step[],
  ): Promise<Compression> => {
    const inspection = options.layers
      ? await inspect(model, env)
      : { model: infoOf(model, done.baseline), layers: [] };
    const open = await openJobOf(model, platform, options, [steps], options.simplify);
    const report: Report = {
      ...reportOf(command, inspection, options, {
        baseline: done.baseline,
        results: [done.result],
        pareto: [],
        seconds: done.seconds,
      }),
      groups: done.groups,
      training: done.training,
    };
    return {
      result: done.result,
      baseline: done.baseline,
      report,
      training: done.training,
      job: jobOf(open, steps),
      bytes: done.bytes,
      pack: done.pack,
      async save(path) {
        if (!saveFile) throw fail(errors.cannotWrite(path, "no files here", "Use `bytes`"));
        await saveFile(path, /\.tersor$/i.test(path) ? done.pack() : done.bytes, [model.name]);
      },
      table: (table) => surveyTable(report, { width: 100, color: false, ...table }),
    };
  };

  return {
    /** Opens a model: a path, a URL, bytes, or `net:lenet-5` for an untrained benchmark network. */
    load: (input: ModelInput, options: LoadOptions = {}): Promise<Loaded> =>
      loadModel(input, platform, options),

    /** Applies a recipe (or a preset) and measures what came out. */
    async compress<const M extends readonly MethodRef[] = readonly MethodId[]>(
      model: Loaded,
      options: CompressOptions<M> = {},
    ): Promise<Compression> {
      const { file, simplify = true } = options;
      const hasCalibration = Boolean(options.data ?? options.calib);
      const steps = stepsOf(model, options, hasCalibration);
      if (!hasCalibration) checkNeeds(steps, noRecords);
      const env = await prepare(model, platform, { ...options, trains: needsTraining(steps) });
      const done = await compress(model, env, { steps, simplify, file: file ?? null });
      return compressionOf("compress", model, env, options, done, steps);
    },

    /** Trains all floats of a model on data, perhaps with a teacher, and measures before and after. */
    async train(model: Loaded, options: TrainInput): Promise<Compression> {
      const { data, test, teacher, file, options: given = {} } = options;
      const steps = parseRecipe([{ method: "train", ...given }]);
      const { holdout } = steps[0].options as { readonly holdout: number };
      const prepared = await prepare(model, platform, {
        ...options,
        data: test,
        calib: data,
        teacher,
        trains: true,
      });
      const { training, seed } = prepared;
      const judged = test || !training ? null : holdOut(training, holdout, seed).heldOut;
      const env = { ...prepared, data: prepared.data ?? judged };
      const plan = { steps, simplify: options.simplify ?? true, file: file ?? null };
      const done = await compress(model, env, { ...plan, untrained: true });
      const around = { ...options, data: test ?? data, calib: data };
      return compressionOf("train", model, env, around, done, steps);
    },

    /**
     * What the rows of a survey with these options have in common, without running it: rows of an
     * earlier one go with it (`done`) only where `jobConflict` finds none.
     */
    openJob: (model: Loaded, options: SurveyInput = {}): Promise<OpenJob> =>
      openJobOf(
        model,
        platform,
        options,
        options.recipes?.map((recipe) => parseRecipe(recipe)) ?? [],
      ),

    /** Tries many recipes and measures each, on the same records; where one trains, on what it leaves. */
    async survey(model: Loaded, options: SurveyInput = {}): Promise<Surveyed> {
      const recipes = options.recipes?.map((recipe) => parseRecipe(recipe));
      const steps = recipes?.flat() ?? [];
      if (!options.data && !options.calib) checkNeeds(steps, noRecords);
      const trains = needsTraining(steps);
      const env = await prepare(model, platform, { ...options, trains });
      const inspection = await inspect(model, env);
      const began = platform.wallMs();
      const reporting = (results: readonly Result[], pareto: readonly string[]): Report =>
        reportOf("survey", inspection, options, {
          baseline: results[0],
          results,
          pareto,
          seconds: (platform.wallMs() - began) / 1000,
        });
      const { budgetSeconds, done, fileOf } = options;
      const found = await survey(model, env, {
        budgetSeconds,
        done,
        fileOf,
        ...(recipes && { recipes }),
        async onRow(result, bytes, results, pareto) {
          await options.onRow?.(result, bytes, results, pareto);
          await options.onReport?.(reporting(results, pareto));
        },
      });
      const report = {
        ...reporting(found.results, found.pareto),
        errors: found.errors.filter(({ recipe }) => found.pareto.includes(recipe)),
      };
      return {
        report,
        results: found.results,
        pareto: found.pareto,
        left: found.left,
        warnings: found.warnings,
        job: await openJobOf(model, platform, options, recipes ?? []),
        table: (table) => surveyTable(report, { width: 100, color: false, ...table }),
      };
    },

    /** Layers, bytes, MACs and measured time; what cannot be timed is null. */
    async inspect(model: Loaded, options: Settings = {}): Promise<Inspection> {
      return inspect(model, await prepare(model, platform, options).catch(untimed(options)));
    },

    /** The model's score; `against` an original also drop, flips, KL and speed-up. */
    async evaluate(
      model: Loaded,
      options: Settings & { readonly against?: Loaded | undefined } = {},
    ): Promise<Result> {
      const env = await prepare(options.against ?? model, platform, {
        ...options,
        // Nothing is calibrated here: the metric takes all records.
        calib: null,
        keepAll: true,
      });
      return evaluate(model, env, options.against ?? null);
    },

    /** A .tersor file: everything coded as small as it gets, opened by `tersor/unpack`. */
    pack: (model: Loaded, options: PackSettings = {}): Promise<PackedModel> => pack(model, options),

    /** Times several models on the same inputs, interleaved; the first is what others compare with. */
    async bench(
      models: readonly Loaded[],
      options: Settings & BenchOptions = {},
    ): Promise<BenchRun[]> {
      if (models.length === 0) throw fail(errors.badUsage("bench", "got no model", "Give one"));
      return bench(models, await prepare(models[0], platform, options), options);
    },

    methods: (): MethodInfo[] =>
      (Object.entries(methods) as unknown as [string, Method][]).map(([method, entry]) => ({
        method,
        title: entry.title,
        family: familyOf(method),
        summary: entry.summary,
        cite: entry.cite,
        needs: defaultNeeds(entry),
        needsWith: needsByOption(entry),
        options: describeOptions(entry.options),
      })),
  };
}

/** Data of each kind: `images("calib/", { mean: [0.5], std: [0.5] })`. */
const source =
  (prefix: string) =>
  (path: string, options: DataOptions = {}): DataSource => ({ spec: `${prefix}:${path}`, options });

export const images = source("images");
export const mnist = source("mnist") as (
  part: "train" | "test",
  options?: DataOptions,
) => DataSource;
export const idx = source("idx");
export const cifar = source("cifar");
export const npz = source("npz");
export const csv = source("csv");
export const jsonl = source("jsonl");

function stepsOf<M extends readonly MethodRef[]>(
  model: Loaded,
  options: CompressOptions<M>,
  hasCalibration: boolean,
): Step[] {
  if (options.recipe === undefined) {
    return presetRecipe(options.preset ?? defaultPreset, model.model, hasCalibration);
  }
  if (options.preset === undefined) return parseRecipe(options.recipe);
  throw fail(errors.badUsage("compress", "got a recipe and a preset", "Give one of them"));
}

/** A model that does not run can be looked at all the same. */
function untimed({ onEvent }: Settings) {
  return (cause: unknown): null => {
    const isTheModel =
      cause instanceof TersorError && ["cannot-open", "bad-feeds"].includes(cause.code);
    if (!isTheModel) throw cause;
    onEvent?.({ type: "warning", text: `nothing is timed: ${cause.message}` });
    return null;
  };
}

/** As reports name the data. */
function specOf(data: Settings["data"]): string | null {
  return typeof data === "string" ? data : (data?.spec ?? null);
}
