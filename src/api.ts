/** @file The API: the functions that programs and the command line call, bound to a platform. */

import { keptUnder, runnable, specOf, stepsOf, trainsIn, untimed } from "./api-inputs.ts";
import type {
  AdvisedModel,
  AdviseInput,
  Compression,
  CompressOptions,
  InspectOptions,
  Searched,
  SearchInput,
  Surveyed,
  SurveyInput,
  TrainInput,
} from "./api-types.ts";
import { errors, fail } from "./errors.ts";
import type { Tensor } from "./ir/tensor.ts";
import { defaultThresholds, opinions } from "./measure/marks.ts";
import type { Result } from "./measure/measurement.ts";
import type { MethodId } from "./methods/index.ts";
import type { Written } from "./onnx/write.ts";
import type { Platform } from "./platform.ts";
import { advise } from "./recipe/advise.ts";
import { type BenchOptions, type BenchRun, bench } from "./recipe/bench.ts";
import { checkTraining } from "./recipe/check-training.ts";
import { type Compressed, compress } from "./recipe/compress.ts";
import { type Environment, isMeasured } from "./recipe/environment.ts";
import { evaluate } from "./recipe/evaluate.ts";
import { type Inspection, infoOf, inspect, timedAs } from "./recipe/inspect.ts";
import { type Job, jobOf, type OpenJob, openJobOf } from "./recipe/job.ts";
import { makeVariants, type VariantOptions, type Variants } from "./recipe/layout/variants.ts";
import { type Loaded, type LoadOptions, loadModel, type ModelInput } from "./recipe/load.ts";
import { methodInfos } from "./recipe/method-info.ts";
import { checkNeeds, needsTraining, noRecords } from "./recipe/needs.ts";
import { type OnGpu, onGpu } from "./recipe/on-gpu.ts";
import { tellTarget, tellUnrun, tellUntimed } from "./recipe/on-target.ts";
import { type PackedModel, type PackSettings, pack } from "./recipe/pack.ts";
import { predict } from "./recipe/predict.ts";
import { prepare, type Settings } from "./recipe/prepare.ts";
import { parseGoal } from "./recipe/search/aim.ts";
import { usual } from "./recipe/search/options.ts";
import { search } from "./recipe/search/search.ts";
import { checkSensitivity, sensitivity } from "./recipe/sensitivity.ts";
import { type MethodRef, parseRecipe } from "./recipe/steps.ts";
import { survey, surveyRecipes } from "./recipe/survey.ts";
import { checkTargets, parseTargets } from "./recipe/target.ts";
import { judgedHeldOut } from "./recipe/train.ts";
import type { SoFar, Trials, TrialsOptions } from "./recipe/trials.ts";
import type { Report } from "./report/report.ts";
import { surveyTable } from "./report/table.ts";

/** Writes a file; it must not overwrite one of `inputs`. */
export type SaveFile = (
  path: string,
  content: Uint8Array | ((name: string) => Written),
  inputs: readonly string[],
) => Promise<void>;

export type Tersor = ReturnType<typeof createTersor>;

/**
 * Binds the API to a platform; src/node.ts and src/web.ts do so for Node and for browsers. Without
 * `saveFile` (a platform without files) `Compression.save` throws TersorError "cannot-write". The
 * functions take the settings of `Settings`; they throw TersorError for bad options and input.
 */
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
    layers: timedAs(inspection.layers, part.baseline.latency),
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
    options: Settings & Pick<CompressOptions, "layers">,
    done: Compressed,
    job: Job,
  ): Promise<Compression> => {
    const inspection = options.layers
      ? await inspect(model, isMeasured(env) ? env : null)
      : { model: infoOf(model, done.baseline), layers: [] };
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
      job,
      get bytes() {
        return done.bytes;
      },
      write: done.write,
      pack: done.pack,
      async save(path) {
        if (!saveFile) throw fail(errors.cannotWrite(path, "no files here", "Use `bytes`"));
        const isPacked = /\.tersor$/i.test(path);
        await saveFile(path, isPacked ? done.pack() : done.write, [model.name]);
      },
      table: (table) => surveyTable(report, { width: 100, color: false, ...table }),
    };
  };

  /** Reports of a run of many trials: `onRow` hands each row over, and the report so far. */
  const reporter = async (
    command: string,
    model: Loaded,
    env: Environment,
    options: Settings & Pick<SurveyInput, "onRow" | "onReport">,
  ) => {
    const inspection = await inspect(model, isMeasured(env) ? env : null);
    const began = platform.wallMs();
    const report = ({ results, pareto, errors }: SoFar): Report => ({
      ...reportOf(command, inspection, options, {
        baseline: results[0],
        results,
        pareto,
        seconds: (platform.wallMs() - began) / 1000,
      }),
      errors: errors.filter(({ recipe }) => pareto.includes(recipe)),
    });
    const onRow: NonNullable<TrialsOptions["onRow"]> = async (result, bytes, soFar) => {
      await options.onRow?.(result, bytes, soFar);
      await options.onReport?.(report(soFar));
    };
    return { report, onRow };
  };

  const surveyedOf = (found: Trials, report: Report, job: OpenJob): Surveyed => ({
    report,
    results: found.results,
    pareto: found.pareto,
    left: found.left,
    warnings: found.warnings,
    job,
    table: (table) => surveyTable(report, { width: 100, color: false, ...table }),
  });

  return {
    /** Loads a model: a path, a URL, bytes, or `net:lenet-5` for an untrained benchmark network. */
    load: (input: ModelInput, options: LoadOptions = {}): Promise<Loaded> =>
      loadModel(input, platform, options),

    /** Applies a recipe (or a preset) to a model and measures the result beside the original. */
    async compress<const M extends readonly MethodRef[] = readonly MethodId[]>(
      model: Loaded,
      options: CompressOptions<M> = {},
    ): Promise<Compression> {
      const { file, simplify = true } = options;
      const hasCalibration = Boolean(options.data ?? options.calib);
      const steps = stepsOf(model, options, hasCalibration);
      if (!hasCalibration) checkNeeds(steps, noRecords);
      const env = await prepare(model, platform, { ...options, trains: needsTraining(steps) });
      tellUnrun(env);
      checkTargets(options.targets ?? [], env.data, env.metric);
      checkNeeds(steps, env);
      await checkTraining([steps], model, env);
      const open = await openJobOf(model, platform, options, [steps], simplify);
      const job = jobOf(open, steps);
      await options.onJob?.(job);
      const kept = await keptUnder(open, options);
      const done = await compress(model, env, { steps, simplify, file: file ?? null, kept });
      return compressionOf("compress", model, env, options, done, job);
    },

    /**
     * The files of a float model for transformers.js, one for each dtype (`parseDtypes` lists them):
     * made, compared with the float one and timed natively and in WebAssembly.
     */
    variants: (model: Loaded, options: VariantOptions): Promise<Variants> =>
      makeVariants(model, platform, options),

    /** Trains a model on data, optionally with a teacher, and measures it before and after. */
    async train(model: Loaded, options: TrainInput): Promise<Compression> {
      const { data, test, teacher, student, file, simplify = true, options: given = {} } = options;
      const steps = student
        ? parseRecipe([{ method: "distil", width: 1, ...student, ...given }])
        : parseRecipe([{ method: "train", ...given }]);
      const { holdout } = steps[0].options as { readonly holdout: number };
      const prepared = await prepare(model, platform, {
        ...options,
        data: test,
        calib: data,
        teacher,
        trains: true,
      });
      const env = test ? prepared : judgedHeldOut(prepared, holdout);
      checkNeeds(steps, env);
      await checkTraining([steps], model, env);
      const around = { ...options, data: test ?? data, calib: data };
      const job = jobOf(await openJobOf(model, platform, around, [steps], simplify), steps);
      await options.onJob?.(job);
      const plan = { steps, simplify, file: file ?? null };
      const done = await compress(model, env, { ...plan, untrained: !student });
      return compressionOf("train", model, env, around, done, job);
    },

    /**
     * What the rows of a survey with these options will have in common; nothing is run. Rows of an
     * earlier survey may be passed as `done` only if `jobConflict` finds no difference between its
     * job and this one.
     */
    openJob: (model: Loaded, options: SurveyInput = {}): Promise<OpenJob> =>
      openJobOf(
        model,
        platform,
        options,
        options.recipes?.map((recipe) => parseRecipe(recipe)) ?? surveyRecipes(trainsIn(options)),
      ),

    /**
     * Applies many recipes and measures each on the same records. If one of them trains, all are
     * measured on the records that are not set aside for training.
     */
    async survey(model: Loaded, options: SurveyInput = {}): Promise<Surveyed> {
      const given = options.recipes?.map((recipe) => parseRecipe(recipe));
      const tried = given ?? surveyRecipes(trainsIn(options));
      if (!options.data && !options.calib) checkNeeds(given?.flat() ?? [], noRecords);
      const trains = needsTraining(tried.flat());
      const env = await prepare(model, platform, { ...options, trains });
      tellUnrun(env);
      tellUntimed(env);
      for (const steps of given ?? []) checkNeeds(steps, env);
      await checkTraining(options.trains ? tried : (given ?? []), model, env);
      const job = await openJobOf(model, platform, options, tried);
      await options.onJob?.(job);
      const { budgetSeconds, done, doneErrors, fileOf, deadly, onTrial, onEnd, workers } = options;
      const reporting = await reporter("survey", model, env, options);
      const runner = await workers?.({ model, settings: { ...options, trains }, job });
      try {
        const found = await survey(model, env, {
          ...{ budgetSeconds, done, doneErrors, fileOf, deadly, onTrial, onEnd, runner },
          ...{ recipes: given, trains: trainsIn(options), onRow: reporting.onRow },
        });
        return surveyedOf(found, reporting.report(found), job);
      } finally {
        await runner?.close();
      }
    },

    /**
     * Looks for a recipe that meets the targets and makes the goal least, or without targets for the
     * front between the goal's quantities: methods, mixtures of methods by layer, and variations
     * of the best, each screened on calibration records; the promising ones are measured as in a
     * survey. Without `trains: false` records are set aside for training. Throws TersorError
     * "bad-target", "needs-data", and what `survey` throws.
     */
    async search(model: Loaded, options: SearchInput): Promise<Searched> {
      const { targets: limits = [], goal: wish, workers, ...others } = options;
      const { trains = usual.train } = options;
      if (!options.data) {
        throw fail(errors.badUsage("search", "has no data to judge on", "Give --data"));
      }
      const targets = typeof limits === "string" ? parseTargets(limits) : limits;
      const goal = typeof wish === "string" ? parseGoal(wish) : wish;
      const settings = { ...others, trains };
      const env = await prepare(model, platform, settings);
      tellUntimed(env);
      checkTargets([...targets, ...(goal ?? [])], env.data, env.metric);
      const job = await openJobOf(model, platform, settings, trains ? surveyRecipes(true) : []);
      await options.onJob?.(job);
      const reporting = await reporter("search", model, env, settings);
      const runner = await workers?.({ model, settings, job });
      try {
        const own = { ...settings, targets, goal, runner, onRow: reporting.onRow };
        const found = await search(model, env, own);
        const { best, missed, hypervolume, screened } = found;
        const report = { ...reporting.report(found), hypervolume };
        return { ...surveyedOf(found, report, job), best, missed, hypervolume, screened };
      } finally {
        await runner?.close();
      }
    },

    /**
     * Recipes that suit a model, by the survey's section VIII-A and what is known since, each with its
     * reason and source; those for which most speaks are measured, and overruled where the figures
     * say otherwise. Throws what `survey` throws.
     */
    async advise(model: Loaded, options: AdviseInput = {}): Promise<AdvisedModel> {
      const { goal = "size", trains = true, symmetric = false, measured, budgetSeconds } = options;
      const hasRecords = Boolean(options.calib ?? options.data);
      const wish = { goal, symmetric, trains: trains && hasRecords };
      const env = await prepare(model, platform, { ...options, trains: wish.trains });
      tellUntimed(env);
      const found = await advise(model, env, { wish, measured, budgetSeconds });
      const { facts, advice, trials } = found;
      return { facts, advice, baseline: trials.baseline, results: trials.results };
    },

    /**
     * The layers of a model with their bytes, MACs and measured time. A model that no engine opens
     * is not timed: its times are null, and `onEvent` gets a warning. With `measures: false` it is
     * neither opened nor timed, and axes of unknown size count as 1. With `sensitivity` also the
     * damage that each layer causes where it alone is compressed, measured on `data`.
     */
    async inspect(model: Loaded, options: InspectOptions = {}): Promise<Inspection> {
      const { sensitivity: wanted, measures = true } = options;
      if (!wanted) {
        if (!measures) return inspect(model, null);
        const found = await prepare(model, platform, options)
          .then(runnable)
          .catch(untimed(options));
        if (found) tellTarget([model], found);
        return inspect(model, found);
      }
      checkSensitivity(wanted, options);
      const env = await prepare(model, platform, options);
      const found = await inspect(model, env);
      return { ...found, sensitivity: await sensitivity(model, env, wanted) };
    },

    /** Measures a model on data; with `against`, an original, also drop, flips, KL and speed-up. */
    async evaluate(
      model: Loaded,
      options: Settings & { readonly against?: Loaded | undefined } = {},
    ): Promise<Result> {
      const { against = null } = options;
      // Nothing is calibrated here, so the metric is measured on all records.
      const settings = { ...options, calib: null, keepAll: true };
      const env = await prepare(against ?? model, platform, settings);
      const open = await openJobOf(against ?? model, platform, settings, []);
      const kept = await keptUnder(open, options);
      return evaluate(model, runnable(env), against, kept);
    },

    /** What a model gives for each record of `data`, in order: its outputs by name, [1, ...] each. */
    async predict(
      model: Loaded,
      options: Settings & Required<Pick<Settings, "data">>,
    ): Promise<Readonly<Record<string, Tensor>>[]> {
      const settings = { ...options, calib: null, keepAll: true };
      return predict(model, runnable(await prepare(model, platform, settings)));
    },

    /**
     * Runs models on the GPU beside the processor, with the same inputs: whether outputs agree, which
     * operators fall back, and times where all models are trusted. Null where there is no GPU.
     */
    async onGpu(models: readonly Loaded[], options: Settings = {}): Promise<OnGpu | null> {
      const gpu = (await platform.gpu?.()) ?? null;
      if (!gpu || models.length === 0) return null;
      const env = runnable(await prepare(models[0], platform, { ...options, keepAll: true }));
      return onGpu(models, env, gpu, options.timingSeconds ?? 2);
    },

    /** Packs a model into a small .tersor file, which `tersor/unpack` opens. */
    pack: (model: Loaded, options: PackSettings = {}): Promise<PackedModel> => pack(model, options),

    /** Times several models in turn on the same inputs; speed-ups are relative to the first. */
    async bench(
      models: readonly Loaded[],
      options: Settings & BenchOptions = {},
    ): Promise<BenchRun[]> {
      if (models.length === 0) throw fail(errors.badUsage("bench", "got no model", "Give one"));
      const env = runnable(await prepare(models[0], platform, options));
      tellTarget(models, env);
      return bench(models, env, options);
    },

    /** All built-in methods, with their options and needs. */
    methods: methodInfos,
  };
}
