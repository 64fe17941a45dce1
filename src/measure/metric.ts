/** @file Measures a model's metric on a dataset, and how much its outputs differ from another's. */
import { type Dataset, numberOf, recordName } from "../data/dataset.ts";
import { errors, fail, type TersorError } from "../errors.ts";
import type { Session } from "../runtime/runtime.ts";
import { listed } from "../util/listed.ts";
import { createFidelity, type Fidelity, lowFidelity } from "./fidelity.ts";
import { infer } from "./infer.ts";
import { type Judge, judgeOf, type Verdict } from "./judge.ts";
import type { Metric } from "./measurement.ts";
import { comparedOutputs, type Task, taskOf } from "./task.ts";

/** The model, the records, and the original to compare with. */
export interface MetricOptions {
  readonly session: Pick<Session, "inputs" | "run">;
  readonly dataset: Dataset;
  /** Records per run where the model's batch axis is free (default 32). */
  readonly batchSize?: number;
  /** The original's result on the same dataset, measured with `keepBytes`. */
  readonly reference?: Reference | null;
  /** Keep the outputs up to this many bytes, for use as a later `reference` (default 0). */
  readonly keepBytes?: number;
  /** For the original: the largest magnitude that an output can have, by name, where known. */
  readonly peaks?: Readonly<Record<string, number>>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (records: number, total: number) => void;
}

/** The outputs of one record, by name. */
type Row = Readonly<Record<string, Float32Array>>;

/** A measured original: its metric, and its compared outputs for the first records. */
export interface Reference {
  readonly metric: Metric | null;
  readonly outputs: readonly Row[];
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
  readonly warnings: readonly string[];
  /** On which records outputs are NaN or infinite, as a sentence; null if there are none. */
  readonly broken: string | null;
}

/**
 * Runs the dataset once through the session. The label and the outputs decide which metric is taken
 * (task.ts). With a reference, the judged output is also compared with the original's: flips, KL
 * and SQNR. Without labels the SQNR is that of the worst output, and a low one is a warning.
 * Rejects with TersorError "label-out-of-range", "label-mismatch", "records-mixed",
 * "run-failed", "no-records" or "aborted".
 */
export async function measureMetric(options: MetricOptions): Promise<Evaluation> {
  const { dataset, reference = null, keepBytes = 0 } = options;
  if (dataset.length === 0) {
    throw fail(errors.noRecords(dataset.name, "has no records", "Give data to measure on"));
  }
  const warnings = [...(dataset.warnings ?? [])];
  const broken: number[] = [];
  let task: Task | undefined;
  let judge: Judge | undefined;
  let compared: readonly string[] = [];
  const peaks = reference?.peaks ?? options.peaks ?? {};
  const fidelity = createFidelity(peaks);
  const kept: Row[] = [];
  let room = keepBytes;
  let done = 0;
  let resized = 0;
  const batches = infer({
    ...options,
    batchSize: options.batchSize ?? 32,
    fetch: () => task && compared,
    accept({ fed, label, outputs }) {
      const found = task ?? taskOf(fed, label, outputs, dataset.name);
      const { shape } = outputs[found.output];
      if ((shape[0] ?? 1) % fed !== 0) {
        throw fail(errors.recordsMixed(dataset.name, shape.join(","), fed));
      }
      if (!task) compared = comparedOutputs(found, fed, outputs);
      task = found;
    },
    warn: (text) => warnings.push(text),
  });
  for await (const { records, fed, label, outputs } of batches) {
    judge ??= judgeOf(task!);
    const values = compared.map((name) => [name, outputs[name].floats()] as const);
    const labels = label && Float64Array.from(label.numbers());
    for (let i = 0; i < records; i++) {
      const row: Row = Object.fromEntries(values.map(([name, all]) => [name, share(all, i, fed)]));
      let original = reference?.outputs[done + i] ?? null;
      if (original && !isAlike(original, row)) {
        resized++;
        original = null;
      }
      const where = recordName(dataset, done + i);
      const judged = task!.output;
      const before = original?.[judged] ?? null;
      if (judge.add(row[judged], labels && share(labels, i, fed), before, where)) {
        broken.push(numberOf(dataset, done + i));
      }
      for (const name of original ? compared : []) {
        if (!original || !Object.hasOwn(original, name)) continue;
        // The distance between the numbers of two classes means nothing, so agreement is compared.
        const agrees = original[name][0] === row[name][0];
        if (task!.kind !== "answers") fidelity.add(name, original[name], row[name]);
        else fidelity.add(name, Float32Array.of(1), Float32Array.of(agrees ? 1 : 0));
      }
      for (const { byteLength } of Object.values(row)) room -= byteLength;
      if (room >= 0) kept.push(row);
    }
    done += records;
    options.onProgress?.(done, dataset.length);
  }
  const verdict = judge!.finish();
  if (verdict.predictions === 0) {
    const why = "has no label but -100, which marks padding";
    throw fail(errors.noRecords(dataset.name, why, "Label the records to measure on"));
  }
  const told = brokenText(verdict, broken);
  if (told) warnings.push(told);
  if (verdict.only !== undefined) {
    warnings.push(`the answer is class ${verdict.only} for every record`);
  }
  if (reference && reference.outputs.length < done) {
    const compared = `the first ${reference.outputs.length} of ${done} records`;
    warnings.push(`flips, KL and SQNR are taken over ${compared}`);
  }
  if (resized > 0) warnings.push(`the outputs of ${resized} records changed their size`);
  const whole = (reference?.outputs.length ?? 0) >= done && resized === 0;
  const metric = metricOf(verdict, reference, fidelity.result(), whole, verdict.records ?? done);
  const low = verdict.name === "fidelity" ? fidelity.result() : null;
  const warning = low && lowFidelity(low);
  if (warning) warnings.push(warning);
  const { classes } = task!;
  const own = { metric, outputs: kept, peaks };
  return { metric, classes, reference: own, warnings, broken: told };
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
  const [low, high] = metric.ci95;
  if (metric.name === "accuracy") {
    const chance = 100 / classes;
    if (low > chance || high >= (chance + 100) / 2) return null;
    const score = `${metric.value.toFixed(2)} % on ${metric.n} records`;
    return fail(errors.implausibleBaseline(where, score, `${chance.toFixed(2)} %`));
  }
  if (metric.name === "perplexity" && high >= classes) {
    const score = `perplexity ${metric.value.toFixed(1)}`;
    return fail(errors.implausibleBaseline(where, score, `${classes}`));
  }
  return null;
}

/**
 * Joins verdict, baseline and fidelity. Null for a task without labels of which nothing was
 * compared. `whole`: every record was compared.
 */
function metricOf(
  verdict: Verdict,
  reference: Reference | null,
  fidelity: Fidelity | null,
  whole: boolean,
  n: number,
): Metric | null {
  const { name, ci95, dropCi95, flips, kl, accuracy } = verdict;
  if (name === "fidelity" && !fidelity) return null;
  const value = name === "fidelity" ? fidelity!.sqnr : verdict.value;
  const baseline = reference?.metric?.value ?? null;
  return {
    name,
    value,
    baseline,
    drop: baseline === null ? null : dropOf(name, baseline, value),
    ci95,
    dropCi95,
    flips,
    kl,
    sqnr: fidelity?.sqnr ?? null,
    exact: fidelity ? fidelity.exact && whole : null,
    ...(accuracy !== undefined && { accuracy }),
    n,
  };
}

/**
 * How much worse the value is than the baseline. Null where the baseline is infinite, because its
 * outputs are the targets themselves: then any other finite value is infinitely worse.
 */
function dropOf(name: string, baseline: number, value: number): number | null {
  if (value === baseline) return 0;
  if (!Number.isFinite(baseline)) return null;
  return name === "perplexity" ? value - baseline : baseline - value;
}

/** Whether the outputs that two versions have in common are of one size. */
function isAlike(a: Row, b: Row): boolean {
  return Object.entries(a).every(
    ([name, { length }]) => !Object.hasOwn(b, name) || b[name].length === length,
  );
}

/** How many predictions are not finite, and on which records; null if there are none. */
function brokenText({ broken, predictions }: Verdict, records: readonly number[]): string | null {
  if (broken === 0) return null;
  const count = `${broken} of ${predictions} predictions`;
  return `outputs are not finite on ${listed("record", records)}: ${count} are NaN or infinite, which counts as wrong`;
}

/** The i-th of n equal parts of the values, as a view. */
function share<A extends Float32Array | Float64Array>(values: A, i: number, n: number): A {
  const length = values.length / n;
  return values.subarray(i * length, (i + 1) * length) as A;
}
