/** @file The JSON that commands print: one object, keys in a fixed order, null if not measured. */
import { aboutOf } from "../measure/about.ts";
import type { Delta, Latency, Metric, Result } from "../measure/measurement.ts";
import type { Interval } from "../numeric/statistics.ts";
import type {
  BenchRun,
  Damage,
  Inspection,
  Layer,
  ModelInfo,
  Port,
  Report,
  Sensitivity,
} from "./report.ts";

export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** A number for JSON, which has no NaN and no infinity: those become null, like missing values. */
function num(n: number | null | undefined): number | null {
  return typeof n === "number" && Number.isFinite(n) ? n : null;
}

function latencyJson(latency: Latency): Json {
  const { median, p90, runtime, threads, n, clock, batch } = latency;
  return { median: num(median), p90: num(p90), runtime, threads, n, clock, batch };
}

const pair = (ci95: Interval | null): Json => ci95 && [num(ci95[0]), num(ci95[1])];

function deltaJson({ infer, train, recipe, ci95 }: Delta): Json {
  const intervals = { infer: pair(ci95.infer), train: pair(ci95.train), recipe: pair(ci95.recipe) };
  return { infer: num(infer), train: num(train), recipe: num(recipe), ci95: intervals };
}

function metricJson(metric: Metric): Json {
  const { name, value, baseline, drop, ci95, flips, kl, sqnr, exact, accuracy, n, records } =
    metric;
  return {
    name,
    value: num(value),
    baseline: num(baseline),
    drop: num(drop),
    ci95: pair(ci95),
    flips: num(flips),
    kl: num(kl),
    sqnr: num(sqnr),
    exact: exact ?? null,
    accuracy: num(accuracy),
    n,
    dropCi95: pair(metric.dropCi95),
    records: records ? { ...records } : null,
    words: metric.words ?? null,
    against: metric.against ?? null,
    about: { ...aboutOf(metric) },
  };
}

/** A row of results with all its keys, which programs rely on; see Result for their meaning. */
export function resultJson(result: Result): { readonly [key: string]: Json } {
  const { bytes, alpha, beta, delta, ease, marks } = result;
  return {
    recipe: result.recipe,
    family: result.family,
    file: result.file,
    bytes: {
      raw: num(bytes.raw),
      gzip: num(bytes.gzip),
      brotli: num(bytes.brotli),
      packed: num(bytes.packed),
    },
    params: num(result.params),
    nonzeros: num(result.nonzeros),
    macs: num(result.macs),
    latency: result.latency && latencyJson(result.latency),
    metric: result.metric && metricJson(result.metric),
    alpha: { params: num(alpha.params), bytes: num(alpha.bytes), brotli: num(alpha.brotli) },
    beta: { survey: num(beta.survey), saved: num(beta.saved) },
    delta: deltaJson(delta),
    ease: {
      data: ease.data,
      training: ease.training,
      seconds: num(ease.seconds),
      covered: num(ease.covered),
    },
    marks: {
      size: marks.size,
      speed: marks.speed,
      ease: marks.ease,
      performance: marks.performance,
    },
    skipped: result.skipped.map(({ node, method, reason }) => ({ node, method, reason })),
    warnings: [...result.warnings],
    seed: result.seed,
    versions: Object.fromEntries(
      Object.entries(result.versions).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
    ),
  };
}

/** The facts about the model itself. */
export function modelJson(model: ModelInfo): { readonly [key: string]: Json } {
  const port = ({ name, dtype, shape }: Port) => ({ name, dtype, shape: [...shape] });
  return {
    name: model.name,
    bytes: num(model.bytes),
    params: num(model.params),
    macs: num(model.macs),
    opset: model.opset,
    inputs: model.inputs.map(port),
    outputs: model.outputs.map(port),
    hash: model.hash,
  };
}

function layerJson({ name, op, shape, params, bytes, macs, ms, share }: Layer): Json {
  return {
    name,
    op,
    shape: [...shape],
    params: num(params),
    bytes: num(bytes),
    macs: num(macs),
    ms: num(ms),
    share: { bytes: num(share.bytes), macs: num(share.macs), ms: num(share.ms) },
  };
}

/** What `compress`, `eval`, `train` and `pack` print: {command, model, result}. */
export function resultReportJson(command: string, model: ModelInfo, result: Result) {
  return { command, model: modelJson(model), result: resultJson(result) };
}

/** What `survey` prints: {command, model, results, pareto}; the first result is the original. */
export function surveyJson({ command, model, baseline, results, pareto, hypervolume }: Report) {
  const others = results.filter((row) => row !== baseline && row.recipe !== baseline.recipe);
  return {
    command,
    model: modelJson(model),
    results: [baseline, ...others].map(resultJson),
    pareto: [...pareto],
    ...(hypervolume !== undefined && { hypervolume }),
  };
}

function damageJson(damage: Damage | null): Json {
  if (!damage) return null;
  const { sqnr, kl, flips, drop, dropCi95, saved } = damage;
  return {
    sqnr: num(sqnr),
    exact: sqnr === Number.POSITIVE_INFINITY,
    kl: num(kl),
    flips: num(flips),
    drop: num(drop),
    dropCi95: pair(dropCi95),
    saved: num(saved),
  };
}

function sensitivityJson({ records, metric, recipes, layers }: Sensitivity) {
  return {
    records,
    metric,
    recipes: recipes.map(({ recipe, all, except, share, advice, rest }) => ({
      recipe,
      all: damageJson(all),
      except: [...except],
      share: num(share),
      advice,
      rest: damageJson(rest),
    })),
    layers: layers.map(({ name, op, share, recipes: own }) => ({
      name,
      op,
      share: num(share),
      recipes: own.map(({ recipe, damage, share: part, reason }) => ({
        recipe,
        share: num(part),
        damage: damageJson(damage),
        reason,
      })),
    })),
  };
}

/** What `inspect` prints: {model, totals, layers}, and {sensitivity} where it was asked for. */
export function inspectJson({ model, totals, layers, sensitivity }: Inspection) {
  const { layers: count, params, bytes, macs, ms, clock, threads } = totals;
  const costs = { params: num(params), bytes: num(bytes), macs: num(macs), ms: num(ms) };
  return {
    model: modelJson(model),
    totals: { layers: count, ...costs, clock, threads },
    layers: layers.map(layerJson),
    ...(sensitivity && { sensitivity: sensitivityJson(sensitivity) }),
  };
}

/** What `bench` prints: {runs}. */
export function benchJson(runs: readonly BenchRun[]) {
  return {
    runs: runs.map(({ file, bytes, latency, ratio, ci95 }) => ({
      file,
      bytes: num(bytes),
      latency: latency && latencyJson(latency),
      ratio: num(ratio),
      ci95: pair(ci95),
    })),
  };
}

/** An object as text for stdout: indented, with a newline at the end. */
export function jsonText(object: object): string {
  return `${JSON.stringify(object, null, 2)}\n`;
}
