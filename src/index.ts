/** @file The universal API: no Node, no DOM. `createTersor(platform)` binds it to its surroundings. */

/** What option schemas are made with: a method of your own needs the same copy. */
export { z } from "zod";

export { createTersor, type SaveFile, type Tersor } from "./api.ts";
export type {
  Compression,
  CompressOptions,
  InspectOptions,
  Searched,
  SearchInput,
  Surveyed,
  SurveyInput,
  TrainInput,
} from "./api-types.ts";
export { type ChannelGroup, channelGroups } from "./channels/groups.ts";
export type { Context, Observe, Tap, Train, Trained, TrainHooks } from "./context.ts";
export type { Batch, Dataset } from "./data/dataset.ts";
export type { Feed, Inputs } from "./data/feed.ts";
export { dataPrefix } from "./data/open.ts";
export { type DataOptions, dataOptionInfos, parseDataOptions } from "./data/options.ts";
export { type ErrorInfo, TersorError } from "./errors.ts";
export type { Attribute } from "./ir/attribute.ts";
export type { Graph, Node, Value } from "./ir/graph.ts";
export type { Model } from "./ir/model.ts";
export { type Tensor, tensor } from "./ir/tensor.ts";
export type { Bytes, Latency, Mark, Marks, Metric, Result, Skip } from "./measure/measurement.ts";
export type { Output, Outputs } from "./measure/metrics/spec.ts";
export { type OwnMetric, ownMetric } from "./measure/own-metric.ts";
export type { MethodId } from "./methods/index.ts";
export {
  defineMethod,
  type Family,
  type Method,
  type Need,
  type OwnMethod,
} from "./methods/method.ts";
export { type NetName, nets } from "./nets/index.ts";
export type { Net } from "./nets/net.ts";
export { createRandom, type Random } from "./numeric/random.ts";
export { type Builder, build } from "./ops/builder.ts";
export {
  constantExpressions,
  constantValue,
  type WeightRole,
  type WeightUse,
  weightsOf,
} from "./ops/weights.ts";
export { type OptionInfo, rangeText } from "./options.ts";
export type { Platform } from "./platform.ts";
export type { BenchRun } from "./recipe/bench.ts";
export { type CheckConfig, defineConfig } from "./recipe/check.ts";
export { ensemble } from "./recipe/ensemble.ts";
export type { Event } from "./recipe/environment.ts";
export type { Inspection, Layer, ModelInfo, Totals } from "./recipe/inspect.ts";
export {
  type Job,
  type JobConflict,
  type JobData,
  jobConflict,
  jobHash,
  jobOf,
  type OpenJob,
} from "./recipe/job.ts";
export { createKeeper, type Keeper } from "./recipe/keeper.ts";
export type { DtypeName } from "./recipe/layout/dtypes.ts";
export type { Variant, VariantOptions, Variants } from "./recipe/layout/variants.ts";
export type { Loaded, LoadOptions, ModelInput } from "./recipe/load.ts";
export type { MethodInfo } from "./recipe/method-info.ts";
export type { GpuRun, OnGpu } from "./recipe/on-gpu.ts";
export type { DataSource, Settings } from "./recipe/prepare.ts";
export { type PresetId, presets } from "./recipe/presets.ts";
export { type Aim, aimOf, parseGoal } from "./recipe/search/aim.ts";
export { parseSearchOptions, searchOptionInfos } from "./recipe/search/options.ts";
export type { Damage, Sensitivity, SensitivityOptions } from "./recipe/sensitivity.ts";
export { cifar, csv, idx, images, jsonl, mnist, npz, text, wav } from "./recipe/sources.ts";
export {
  formatRecipe,
  type MethodRef,
  parseRecipe,
  type RecipeInput,
  type Step,
  type StepInput,
} from "./recipe/steps.ts";
export { missedTargets, parseTargets, type Target } from "./recipe/target.ts";
export * as format from "./report/format.ts";
export { htmlReport } from "./report/html.ts";
export { benchJson, inspectJson, jsonText, resultReportJson, surveyJson } from "./report/json.ts";
export { surveyMarkdown } from "./report/markdown.ts";
export { paretoSvg } from "./report/plots.ts";
export { familyTitles, lossOf, type Report } from "./report/report.ts";
export { effortText, type Standing, standingOf } from "./report/standing.ts";
export { colorStyle, familyClass, plotStyle } from "./report/svg.ts";
export { resultLine } from "./report/table.ts";
export { targets } from "./targets/index.ts";
export { factOf, pays, type TargetDevice } from "./targets/target.ts";
export { type Form, integers, learns, type Part, type Shape } from "./weights/form.ts";
export { type Latent, type Opened, open as openLatent, openable } from "./weights/latent.ts";
export { addForm as defineForm } from "./weights/match-form.ts";
export { readWeight } from "./weights/read.ts";
export { chosenLayers, siteOptions } from "./weights/select.ts";
export {
  type LayerSite,
  layersOf,
  storeWeight,
  type ThetaSite,
  thetasOf,
} from "./weights/sites.ts";
export { type Composed, composed, type FloatWeight, leaf, type Weight } from "./weights/weight.ts";
