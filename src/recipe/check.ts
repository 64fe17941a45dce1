/** @file Check: models held against limits on size, speed and quality, for continuous integration. */
import { z } from "zod";
import { DataOptions } from "../data/options.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { Result } from "../measure/measurement.ts";
import { metricNamed } from "../measure/metrics/index.ts";
import { isMetricFile } from "./prepare.ts";
import { missedTargets, parseTargets, type Target } from "./target.ts";

/** Limits as `--target` has them. */
const limits = z.string().min(1).meta({
  description: 'Limits to hold: "size<=1MB, drop<=0.5, speedup>=1.2", as --target has them.',
});

/** One entry of a config: which models, judged how, within which limits. */
export const CheckEntry = z.strictObject({
  model: z.string().min(1).meta({ description: "A model, or a glob: models/*.onnx." }),
  limits,
  against: z.string().min(1).optional().meta({
    description: "The original that drop, flips and speed-up are measured against.",
  }),
  data: z.string().min(1).optional().meta({
    description: "Data to measure on, as --data has it: npz:test.npz, images:folder ...",
  }),
  dataOptions: DataOptions.optional().meta({ description: "How the data are read." }),
  metric: z.string().min(1).optional().meta({
    description: "What judges the outputs, as --metric has it: detection, ./my-metric.ts ...",
  }),
  timing: z.number().positive().optional().meta({
    description: "Seconds spent on timing each model (default 2).",
  }),
});

/** What tersor.config.ts or tersor.config.json holds. */
export const CheckConfig = z.looseObject({
  check: z.array(CheckEntry).min(1).meta({ description: "Models with their limits." }),
});

export type CheckEntry = z.input<typeof CheckEntry>;
export type CheckConfig = z.input<typeof CheckConfig>;

/** A config that the compiler checks: `export default defineConfig({ check: [...] })`. */
export const defineConfig = (config: CheckConfig): CheckConfig => config;

/** The JSON Schema of a config, for editors. */
export const configSchema = (): object => ({
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "tersor.config.json",
  ...z.toJSONSchema(CheckConfig, { io: "input", unrepresentable: "any" }),
});

/** An entry with its limits parsed. */
export interface CheckPlan extends Omit<z.output<typeof CheckEntry>, "limits"> {
  readonly targets: readonly Target[];
}

/** The entries of a config. Throws TersorError "bad-option" or "bad-target", which name `where`. */
export function parseConfig(config: unknown, where: string): CheckPlan[] {
  const { success, data, error } = CheckConfig.safeParse(config);
  if (!success) {
    const { path, message } = error.issues[0];
    const why = `${path.join(".") || "it"}: ${message}`;
    throw fail(errors.badOption(where, why, "See docs/check.md"));
  }
  return data.check.map(({ limits: text, ...entry }) => {
    const targets = parseTargets(text);
    if (entry.metric !== undefined && !isMetricFile(entry.metric)) metricNamed(entry.metric, where);
    const relative = targets.find(({ quantity }) => comparing.includes(quantity));
    if (relative && entry.against === undefined) {
      const why = `of ${entry.model} compares with an original`;
      throw fail(errors.badTarget(`limit "${relative.text}"`, why, "Name it: against"));
    }
    const judging = targets.find(({ needs }) => needs !== null);
    if (judging && entry.data === undefined) {
      const why = `of ${entry.model} cannot be measured without data`;
      throw fail(errors.badTarget(`limit "${judging.text}"`, why, "Name them: data"));
    }
    return { ...entry, targets };
  });
}

/** Quantities that are relative to an original. */
const comparing = ["drop", "flips", "speedup"];

/** What came of one model. */
export interface Held {
  readonly model: string;
  readonly limits: readonly string[];
  /** Null where the model could not be measured; `broken` says why. */
  readonly result: Result | null;
  /** A sentence for each limit that is broken. */
  readonly broken: readonly string[];
}

/** Measures a model and holds it against its limits; its errors end up in `broken`. */
export async function hold(
  model: string,
  targets: readonly Target[],
  measure: () => Promise<Result>,
): Promise<Held> {
  const limits = targets.map(({ text }) => text);
  try {
    const result = await measure();
    return { model, limits, result, broken: missedTargets(targets, result) };
  } catch (cause) {
    if (!(cause instanceof TersorError) || cause.code === "aborted") throw cause;
    return { model, limits, result: null, broken: [cause.message] };
  }
}
