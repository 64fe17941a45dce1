/** @file Measures a model's metric on a dataset, and how much its outputs differ from another's. */
import { type Dataset, numberOf, recordName } from "../data/dataset.ts";
import { errors, fail, type TersorError } from "../errors.ts";
import type { Session } from "../runtime/runtime.ts";
import { listed } from "../util/listed.ts";
import { infer } from "./infer.ts";
import { type Judge, judgeOf, type Verdict } from "./judge.ts";
import type { Metric } from "./measurement.ts";
import { type Task, taskOf } from "./task.ts";

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
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (records: number, total: number) => void;
}

/** A measured original: its metric, and its judged output for the first records, one row each. */
export interface Reference {
  readonly metric: Metric | null;
  readonly outputs: readonly Float32Array[];
}

/** The result of one pass over a dataset. */
export interface Evaluation {
  /** Null where there are neither labels nor a reference. */
  readonly metric: Metric | null;
  /** Number of classes, for `implausible`; null where the output holds no class scores. */
  readonly classes: number | null;
  readonly reference: Reference;
  readonly warnings: readonly string[];
}

/**
 * Runs the dataset once through the session. The label and the outputs decide which metric is taken
 * (task.ts). With a reference, the judged output is also compared with the original's: flips, KL
 * and SQNR. Rejects with TersorError "label-out-of-range", "label-mismatch", "records-mixed",
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
  const noise = signalToNoise();
  const kept: Float32Array[] = [];
  let room = keepBytes;
  let done = 0;
  let resized = 0;
  const batches = infer({
    ...options,
    batchSize: options.batchSize ?? 32,
    fetch: () => task && [task.output],
    accept({ fed, label, outputs }) {
      const found = task ?? taskOf(fed, label, outputs, dataset.name);
      const { shape } = outputs[found.output];
      if ((shape[0] ?? 1) % fed !== 0) {
        throw fail(errors.recordsMixed(dataset.name, shape.join(","), fed));
      }
      task = found;
    },
    warn: (text) => warnings.push(text),
  });
  for await (const { records, fed, label, outputs } of batches) {
    judge ??= judgeOf(task!);
    const rows = outputs[task!.output].floats();
    const labels = label && Float64Array.from(label.numbers());
    for (let i = 0; i < records; i++) {
      const row = share(rows, i, fed);
      let original = reference?.outputs[done + i] ?? null;
      if (original && original.length !== row.length) {
        resized++;
        original = null;
      }
      const where = recordName(dataset, done + i);
      if (judge.add(row, labels && share(labels, i, fed), original, where)) {
        broken.push(numberOf(dataset, done + i));
      }
      if (original) noise.add(original, row);
      if ((room -= row.byteLength) >= 0) kept.push(row);
    }
    done += records;
    options.onProgress?.(done, dataset.length);
  }
  const verdict = judge!.finish();
  if (verdict.predictions === 0) {
    const why = "has no label but -100, which marks padding";
    throw fail(errors.noRecords(dataset.name, why, "Label the records to measure on"));
  }
  if (verdict.broken > 0) {
    const share = `${verdict.broken} of ${verdict.predictions} predictions`;
    const where = listed("record", broken);
    warnings.push(
      `outputs are not finite on ${where}: ${share} are NaN or infinite, which counts as wrong`,
    );
  }
  if (reference && reference.outputs.length < done) {
    const compared = `the first ${reference.outputs.length} of ${done} records`;
    warnings.push(`flips, KL and SQNR are taken over ${compared}`);
  }
  if (resized > 0) warnings.push(`the outputs of ${resized} records changed their size`);
  const metric = metricOf(verdict, reference, noise.db(), done);
  return { metric, classes: task!.classes, reference: { metric, outputs: kept }, warnings };
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
 * SQNR = 10 log10 (sum ref^2 / sum (ref - out)^2), dB, over all records; Infinity for equal
 * outputs.
 */
function signalToNoise() {
  let signal = 0;
  let noise = 0;
  return {
    add(original: Float32Array, output: Float32Array): void {
      for (let i = 0; i < original.length; i++) {
        if (original[i] === output[i] && !Number.isFinite(output[i])) continue; // masked in both
        if (Number.isNaN(original[i])) continue; // nothing to compare with
        signal += original[i] ** 2;
        noise += (original[i] - output[i]) ** 2;
      }
    },
    db: () => (noise === 0 ? Infinity : 10 * Math.log10(signal / noise)),
  };
}

/** Joins verdict, baseline and SQNR. Null for a task without labels that had no reference. */
function metricOf(
  verdict: Verdict,
  reference: Reference | null,
  sqnr: number,
  n: number,
): Metric | null {
  const { name, ci95, flips, kl, accuracy } = verdict;
  const compared = reference !== null && reference.outputs.length > 0;
  if (name === "fidelity" && !compared) return null;
  const value = name === "fidelity" ? sqnr : verdict.value;
  const baseline = reference?.metric?.value ?? null;
  const loss = name === "perplexity" ? value - baseline! : baseline! - value;
  return {
    name,
    value,
    baseline,
    drop: baseline === null ? null : loss,
    ci95,
    flips,
    kl,
    sqnr: compared ? sqnr : null,
    ...(accuracy !== undefined && { accuracy }),
    n,
  };
}

/** The i-th of n equal parts of the values, as a view. */
function share<A extends Float32Array | Float64Array>(values: A, i: number, n: number): A {
  const length = values.length / n;
  return values.subarray(i * length, (i + 1) * length) as A;
}
