/** @file Measures a model's metric on a dataset, and how much its outputs differ from another's. */
import { type Dataset, numberOf, recordName } from "../data/dataset.ts";
import { errors, fail, type TersorError } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Session } from "../runtime/runtime.ts";
import { listed } from "../util/listed.ts";
import { aboutSpec, metricText } from "./about.ts";
import { createFidelity, type Fidelity, lowFidelity } from "./fidelity.ts";
import { infer } from "./infer.ts";
import type { Metric } from "./measurement.ts";
import { type Chosen, guessMetric, metrics } from "./metrics/index.ts";
import type { Batch, Judge, MetricSpec, Output, Outputs, Verdict } from "./metrics/spec.ts";

/** The model, the records, and the original to compare with. */
export interface MetricOptions {
  readonly session: Pick<Session, "inputs" | "run">;
  readonly dataset: Dataset;
  /** Records per run where the model's batch axis is free (default 32). */
  readonly batchSize?: number;
  /** The metric that the user named; null: what the label and the outputs make clear. */
  readonly metric?: MetricSpec | null;
  /** The original's result on the same dataset, measured with `keepBytes`. */
  readonly reference?: Reference | null;
  /** For the original: keep the outputs up to this many bytes, for a later `reference` (default 0). */
  readonly keepBytes?: number;
  /** For the original: the largest magnitude that an output can have, by name, where known. */
  readonly peaks?: Readonly<Record<string, number>>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (records: number, total: number) => void;
}

/** A measured original: its metric, and its judged outputs for the first records. */
export interface Reference {
  readonly metric: Metric | null;
  /** How it was judged, which is how all other versions are judged; by outputs of these shapes. */
  readonly chosen: Chosen;
  readonly shapes: Readonly<Record<string, string>>;
  readonly outputs: readonly Outputs[];
  /** See `MetricOptions.peaks`. */
  readonly peaks: Readonly<Record<string, number>>;
}

/** The result of one pass over a dataset. */
export interface Evaluation {
  /** Null where there are neither labels nor a reference. */
  readonly metric: Metric | null;
  /** Number of classes, for `implausible`; null where the output holds no class scores. */
  readonly classes: number | null;
  readonly reference: Reference;
  /** How the outputs were read and which metric was guessed; null where that goes without saying. */
  readonly note: string | null;
  readonly warnings: readonly string[];
  /** On which records outputs are NaN or infinite, as a sentence; null if there are none. */
  readonly broken: string | null;
}

/**
 * Runs the dataset once through the session. The metric is that of the reference, else the one that
 * was named, else the one that the label and the outputs make clear (metrics/). With a reference,
 * the judged outputs are also compared with the original's: flips, KL and SQNR. An original whose
 * metric judges against the original's outputs is judged against its own. Rejects with TersorError
 * "label-out-of-range", "label-mismatch", "metric-mismatch", "records-mixed", "run-failed",
 * "no-records" or "aborted".
 */
export async function measureMetric(options: MetricOptions): Promise<Evaluation> {
  const { dataset, reference = null, keepBytes = 0 } = options;
  if (dataset.length === 0) {
    throw fail(errors.noRecords(dataset.name, "has no records", "Give data to measure on"));
  }
  const warnings = [...(dataset.warnings ?? [])];
  const broken: number[] = [];
  const named = reference?.chosen.spec ?? options.metric ?? null;
  const isOriginal = !reference && keepBytes > 0;
  let chosen: Chosen | undefined;
  let judge: Judge | undefined;
  const peaks = reference?.peaks ?? options.peaks ?? {};
  const fidelity = createFidelity(peaks);
  const kept: Outputs[] = [];
  let room = keepBytes;
  let done = 0;
  let resized = 0;
  const batches = infer({
    ...options,
    batchSize: options.batchSize ?? 32,
    fetch: () => chosen?.fit.outputs,
    accept({ fed, ...batch }) {
      const found =
        chosen ??
        asBefore(reference, fed, batch.outputs) ??
        choose(named, { ...batch, records: fed }, dataset);
      for (const name of found.fit.outputs) {
        const { shape } = batch.outputs[name];
        if ((shape[0] ?? 1) % fed === 0) continue;
        throw fail(errors.recordsMixed(dataset.name, shape.join(","), fed));
      }
      chosen = found;
    },
    warn: (text) => warnings.push(text),
  });
  let shapes: Readonly<Record<string, string>> = {};
  for await (const { records, fed, label, outputs } of batches) {
    const { fit } = chosen!;
    const isItself = isOriginal && (fit.against === "original" || fit.itself === true);
    const isLabelled = fit.against === "labels" || fit.itself === true;
    if (!judge) shapes = shapesIn(outputs, fed);
    judge ??= fit.judge();
    const values = fit.outputs.map(
      (name) => [name, outputs[name], outputs[name].floats()] as const,
    );
    const labels = label && Float64Array.from(label.numbers());
    for (let i = 0; i < records; i++) {
      const row: Outputs = Object.fromEntries(
        values.map(([name, whole, all]) => [name, share(whole, all, i, fed)]),
      );
      const before = reference?.outputs[done + i] ?? (isItself ? row : null);
      const isComparable = before !== null && isAlike(before, row);
      if (before && !isComparable && !fit.anySize) resized++;
      const original = isComparable || fit.anySize ? before : null;
      const where = recordName(dataset, done + i);
      const own = label && isLabelled ? share(label, labels!, i, fed) : null;
      if (judge.add({ outputs: row, label: own, original, where }))
        broken.push(numberOf(dataset, done + i));
      for (const name of reference && isComparable ? fit.outputs : []) {
        if (before && Object.hasOwn(before, name)) {
          const pair = [floatsOf(before[name]), floatsOf(row[name])] as const;
          fidelity.add(name, ...(isInteger(outputs[name]) ? agreement(...pair) : pair));
        }
      }
      for (const output of Object.values(row)) room -= output.values.byteLength;
      if (room >= 0) kept.push(row);
    }
    done += records;
    options.onProgress?.(done, dataset.length);
  }
  const { fit } = chosen!;
  const verdict = judge!.finish();
  if (verdict.predictions === 0 && fit.against === "labels") {
    const why = "has no label but -100, which marks padding";
    throw fail(errors.noRecords(dataset.name, why, "Label the records to measure on"));
  }
  const told = brokenText(verdict, broken);
  if (told) warnings.push(told);
  if (verdict.only !== undefined) {
    warnings.push(`the answer is ${verdict.only} for every record`);
  }
  warnings.push(...(verdict.warnings ?? []));
  if (reference && reference.outputs.length < done) {
    const compared = `the first ${reference.outputs.length} of ${done} records`;
    warnings.push(`flips, KL and SQNR are taken over ${compared}`);
  }
  if (resized > 0) warnings.push(`the outputs of ${resized} records changed their size`);
  const whole = (reference?.outputs.length ?? 0) >= done && resized === 0;
  const compared = fidelity.result();
  const metric = metricOf(verdict, chosen!, reference, compared, whole, verdict.records ?? done);
  const low = verdict.value === null ? compared : null;
  const warning = low && lowFidelity(low);
  if (warning) warnings.push(warning);
  const own = { metric, chosen: chosen!, shapes, outputs: kept, peaks };
  const note = reference ? null : noteOf(chosen!, named !== null);
  return { metric, classes: fit.classes ?? null, reference: own, note, warnings, broken: told };
}

/** The kind of numbers and the shape of a record in each output, as text. */
const shapesIn = (outputs: Readonly<Record<string, Tensor>>, records: number) =>
  Object.fromEntries(
    Object.entries(outputs).map(([name, { dtype, shape, size }]) => [
      name,
      [dtypes[dtype].kind, size / records, ...shape.slice(1)].join(),
    ]),
  );

/** How the original was judged, if these are outputs like its own; else null. */
function asBefore(
  reference: Reference | null,
  records: number,
  outputs: Readonly<Record<string, Tensor>>,
): Chosen | null {
  if (!reference) return null;
  const { chosen, shapes } = reference;
  const own = shapesIn(outputs, records);
  const isSame = chosen.fit.outputs.every((name) =>
    chosen.fit.anySize ? Object.hasOwn(own, name) : own[name] === shapes[name],
  );
  return isSame ? chosen : null;
}

/**
 * The metric and how it judges: the named one, else what is clear from the batch. Labels that the
 * named one cannot use are left out if it can judge against the original.
 */
function choose(named: MetricSpec | null, batch: Batch, dataset: Dataset): Chosen {
  const where = dataset.name;
  if (!named) return guessMetric(batch, where, { mayLeaveLabels: Boolean(dataset.images) });
  const isMissing = named.needs === "labels" && !batch.label;
  const fit = isMissing ? `${where} has no labels` : named.fits(batch);
  if (typeof fit !== "string") return { spec: named, fit };
  const without = isMissing ? fit : named.fits({ ...batch, label: null });
  if (batch.label && named.needs !== "labels") {
    if (typeof without !== "string") {
      const note = `${without.note ? `${without.note}; ` : ""}the labels are left out, because ${fit}`;
      return { spec: named, fit: { ...without, note } };
    }
  }
  const remedy = isMissing
    ? "Give labelled data, or a metric that judges against the original: --metric fidelity"
    : `It reads ${typeof without === "string" ? named.reads.outputs : named.reads.label}`;
  throw fail(errors.metricMismatch(`--metric ${named.id}`, fit, remedy));
}

/** How the outputs are read, and that the metric was guessed. */
function noteOf({ spec, fit }: Chosen, isNamed: boolean): string | null {
  if (!fit.note) return null;
  const by = isNamed ? "judged by" : "guessed from the outputs: judged by";
  const against = fit.against === "original" ? " against the original's" : "";
  return `${by} ${spec.id}${against}: ${fit.note}${isNamed ? "" : " (others with --metric)"}`;
}

/**
 * The error to throw for an original that scores no better than chance, else null. This is how
 * wrong preprocessing shows, and comparisons with such a baseline mean nothing. The 95 % interval
 * of its accuracy has to reach down to chance and to end below the middle between chance and 100 %;
 * so an interval that is wide because there are few records is no error. A perplexity is compared
 * with the number of classes, which is that of guessing.
 */
export function implausible(
  metric: Metric,
  classes: number | null,
  where: string,
): TersorError | null {
  if (!metric.ci95 || !classes) return null;
  const chance = metrics.get(metric.name)?.chance?.(metric.ci95, classes) ?? null;
  if (chance === null) return null;
  const score = `${metricText(metric)} on ${metric.n} records`;
  return fail(errors.implausibleBaseline(where, score, chance));
}

/**
 * Joins verdict, baseline and fidelity. Null for a metric against the original where nothing was
 * compared. `whole`: every record was compared.
 */
function metricOf(
  verdict: Verdict,
  { spec: asked, fit }: Chosen,
  reference: Reference | null,
  fidelity: Fidelity | null,
  whole: boolean,
  n: number,
): Metric | null {
  const { ci95, dropCi95, flips = null, kl = null, accuracy, words } = verdict;
  const spec = verdict.instead ?? asked;
  const value = verdict.value ?? fidelity?.sqnr ?? null;
  if (value === null || (verdict.predictions === 0 && fit.against === "original")) return null;
  const baseline = reference?.metric?.value ?? null;
  return {
    name: spec.id,
    value,
    baseline,
    drop: baseline === null ? null : dropOf(spec, baseline, value),
    ci95,
    dropCi95,
    flips,
    kl,
    sqnr: fidelity?.sqnr ?? null,
    exact: fidelity ? fidelity.exact && whole : null,
    ...(accuracy !== undefined && { accuracy }),
    ...(words && (reference || fit.against === "labels") && { words }),
    against: fit.against,
    about: aboutSpec(spec),
    n,
  };
}

/**
 * How much worse the value is than the baseline. Null where the baseline is infinite, because its
 * outputs are the targets themselves: then any other finite value is infinitely worse.
 */
function dropOf({ higherIsBetter }: MetricSpec, baseline: number, value: number): number | null {
  if (value === baseline) return 0;
  if (!Number.isFinite(baseline)) return null;
  return higherIsBetter ? baseline - value : value - baseline;
}

/** Whether the outputs that two versions have in common are of one size. */
function isAlike(a: Outputs, b: Outputs): boolean {
  return Object.entries(a).every(
    ([name, { values }]) => !Object.hasOwn(b, name) || b[name].values.length === values.length,
  );
}

/** How many predictions are not finite, and on which records; null if there are none. */
function brokenText({ broken, predictions }: Verdict, records: readonly number[]): string | null {
  if (broken === 0) return null;
  const count = `${broken} of ${predictions} predictions`;
  return `outputs are not finite on ${listed("record", records)}: ${count} are NaN or infinite, which counts as wrong`;
}

/** The i-th of n equal parts of a tensor's values, as a view. */
function share(
  { shape }: Tensor,
  values: Float32Array | Float64Array,
  i: number,
  n: number,
): Output {
  const length = values.length / n;
  const rows = (shape[0] ?? 1) / n;
  const own = rows === 1 ? shape.slice(1) : [rows, ...shape.slice(1)];
  return { values: values.subarray(i * length, (i + 1) * length), shape: own };
}

const floatsOf = ({ values }: Output): Float32Array => values as Float32Array;

const isInteger = ({ dtype }: Tensor): boolean => dtypes[dtype].kind !== "float";

/** The distance between the numbers of two classes means nothing, so agreement is compared. */
function agreement(x: Float32Array, y: Float32Array): [Float32Array, Float32Array] {
  return [new Float32Array(x.length).fill(1), y.map((value, i) => (value === x[i] ? 1 : 0))];
}
