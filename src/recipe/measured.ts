/** @file Judges a version of the model by the metric, on the records of an environment. */
import type { Model } from "../ir/model.ts";
import { type Evaluation, type MetricOptions, measureMetric } from "../measure/metric.ts";
import type { Session } from "../runtime/runtime.ts";
import type { Environment } from "./environment.ts";
import { decides } from "./time-sessions.ts";

export interface MeasuredOptions extends Pick<MetricOptions, "reference" | "keepBytes" | "peaks"> {
  /** A model that decides by its input what to run is given one record at a time. */
  readonly model: Model;
}

/**
 * Measures the metric on the data. Null without data: random inputs say nothing of quality, because
 * a network may answer noise with noise.
 */
export async function measured(
  session: Session,
  env: Environment,
  what: string,
  { model, ...options }: MeasuredOptions,
): Promise<Evaluation | null> {
  if (!env.data) return null;
  return measureMetric({
    session,
    dataset: env.data,
    metric: env.metric ?? null,
    ...options,
    ...(decides(model) && { batchSize: 1 }),
    signal: env.signal ?? undefined,
    onProgress: (done, total) => env.onEvent({ type: "progress", what, done, total }),
  });
}

/** A model and its bytes as an ONNX file. */
export interface File {
  readonly model: Model;
  readonly bytes: Uint8Array;
}

/** Opens a file for one measurement of its metric. */
export async function measuredFile(
  { model, bytes }: File,
  env: Environment,
  what: string,
  options: Omit<MeasuredOptions, "model">,
): Promise<Evaluation | null> {
  const session = await env.runtime.open({ bytes }, { threads: env.threads });
  try {
    return await measured(session, env, what, { ...options, model });
  } finally {
    await session.close();
  }
}
