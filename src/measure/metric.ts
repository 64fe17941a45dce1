/** @file A model's score on a dataset, and how far it moved from the original: one pass, batch by batch. */
import type { Dataset } from "../data/dataset.ts";
import { errors, fail, type TersorError } from "../errors.ts";
import type { Session } from "../runtime/runtime.ts";
import { infer } from "./infer.ts";
import { type Judge, judgeOf, type Verdict } from "./judge.ts";
import type { Metric } from "./measurement.ts";
import { type Task, taskOf } from "./task.ts";

export interface MetricOptions {
  readonly session: Pick<Session, "inputs" | "run">;
  readonly dataset: Dataset;
  /** Records per run where the model's batch axis is free (default 32). */
  readonly batchSize?: number;
  /** The original, measured on the same dataset with `keepBytes`. */
  readonly reference?: Reference | null;
  /** Keep up to this many bytes of outputs, so that the result can be a reference (default 0). */
  readonly keepBytes?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (records: number, total: number) => void;
}

/** A measured original: its metric and its judged outputs, record by record from the first. */
export interface Reference {
  readonly metric: Metric | null;
  readonly outputs: readonly Float32Array[];
}

export interface Evaluation {
  /** Null where there is nothing to say: no labels and no reference. */
  readonly metric: Metric | null;
  /** Scores per prediction, for `implausible`; null for targets. */
  readonly classes: number | null;
  readonly reference: Reference;
  readonly warnings: readonly string[];
}

/**
 * Runs the dataset once; the label decides the metric (task.ts). Against a reference: flips, KL and
 * SQNR over the judged output. Rejects with "label-out-of-range", "label-mismatch", "records-mixed",
 * "run-failed", "no-records", "aborted".
 */
export async function measureMetric(options: MetricOptions): Promise<Evaluation> {
  const { dataset, reference = null, keepBytes = 0 } = options;
  if (dataset.length === 0) {
    throw fail(errors.noRecords(dataset.name, "has no records", "Give data to measure on"));
  }
  const warnings: string[] = [];
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
      const where = `${dataset.name}, record ${done + i}`;
      judge.add(row, labels && share(labels, i, fed), original, where);
      if (original) noise.add(original, row);
      if ((room -= row.byteLength) >= 0) kept.push(row);
    }
    done += records;
    options.onProgress?.(done, dataset.length);
  }
  const verdict = judge!.finish();
  if (verdict.broken > 0) {
    const share = `${verdict.broken} of ${verdict.predictions} predictions`;
    warnings.push(`${share} are NaN or infinite, which counts as wrong`);
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
 * The error to raise when an original scores no better than chance: its 95 % interval reaches down to
 * chance and does not reach half-way up from there (so that few records prove nothing). Wrong
 * preprocessing looks like this, and nothing measured against such a baseline means anything.
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

/** SQNR = 10 log10 (sum ref^2 / sum (ref - out)^2): Infinity for equal outputs. */
function signalToNoise() {
  let signal = 0;
  let noise = 0;
  return {
    add(original: Float32Array, output: Float32Array): void {
      for (let i = 0; i < original.length; i++) {
        if (original[i] === output[i] && !Number.isFinite(output[i])) continue; // masked in both
        signal += original[i] ** 2;
        noise += (original[i] - output[i]) ** 2;
      }
    },
    db: () => (noise === 0 ? Infinity : 10 * Math.log10(signal / noise)),
  };
}

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

/** The i-th of n equal parts, without copying. */
function share<A extends Float32Array | Float64Array>(values: A, i: number, n: number): A {
  const length = values.length / n;
  return values.subarray(i * length, (i + 1) * length) as A;
}
