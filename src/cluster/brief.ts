/** @file Brief: what another process has to know to run recipes of a survey, as plain data. */
import { errors, fail } from "../errors.ts";
import type { Loaded } from "../recipe/load.ts";
import type { Settings } from "../recipe/prepare.ts";
import type { Assignment } from "../recipe/runner.ts";
import type { Source } from "../runtime/runtime.ts";

/** A model as its files. */
export interface Files {
  /** The path, where it was loaded from one. */
  readonly name: string;
  readonly source: Source;
}

/**
 * The same for another process of this machine, as plain data: a model whose external data are files
 * is read there from its path, because they may be larger than memory.
 */
export interface LocalFiles {
  readonly name: string;
  readonly source: Source | null;
}

export function localFiles({ name, source: { bytes, external } }: Files): LocalFiles {
  if (external?.some(({ file }) => file)) return { name, source: null };
  const plain = external?.map(({ path, data }) => ({ path, data }));
  return { name, source: plain ? { bytes, external: plain } : { bytes } };
}

/** Settings without functions and open models. */
export interface PlainSettings
  extends Omit<Settings, "metric" | "teacher" | "checkpoints" | "signal" | "onEvent"> {
  readonly metric?: string | null | undefined;
}

export interface Brief {
  /** Equal for equal briefs, so that a process that is prepared for one need not be again. */
  readonly key: string;
  readonly model: Files;
  readonly teacher: Files | null;
  readonly settings: PlainSettings;
}

/**
 * The brief of an assignment; `key` stands for all that is in it. Throws TersorError "bad-option" for
 * a metric that is an object or a function of this process.
 */
export function briefOf({ model, settings, job }: Assignment, key: string): Brief {
  const { metric, teacher, checkpoints: _, signal: __, onEvent: ___, ...others } = settings;
  if (metric && typeof metric !== "string") {
    const why = "is an object of this process, which workers do not have";
    throw fail(
      errors.badOption("metric", why, "Give the name of a metric, or the path of a module"),
    );
  }
  // A named target chooses the same engine there, and refuses others.
  const runtime = others.on === undefined ? (job.runtime as PlainSettings["runtime"]) : "auto";
  return {
    key,
    model: filesOf(model),
    teacher: teacher ? filesOf(teacher) : null,
    settings: { ...plain(others), metric, runtime },
  };
}

const filesOf = ({ name, source }: Loaded): Files => ({ name, source });

/** The fields of `Settings`; callers hand over objects with more, such as functions. */
function plain(all: PlainSettings): PlainSettings {
  const { data, calib, keepAll, threads, trains, deterministic, computeChoice } = all;
  const { on, seed, dims, input, measures, timingSeconds } = all;
  return {
    ...{ data, calib, keepAll, threads, trains, deterministic, computeChoice },
    ...{ on, seed, dims, input, measures, timingSeconds },
  };
}
