/** @file How far a value of a model is from that of its teacher, on held-out records. */
import type { Dataset } from "../data/dataset.ts";
import { distance, valuesOf } from "../evidence/output-shift.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Environment } from "./environment.ts";
import { createObserve } from "./observe.ts";

/** Held-out records that are looked at, at most. */
const RECORDS = 256;

/**
 * A function that gives -|y' - y|^2 / |y|^2, y' the values of a model and y those of `target` in the
 * teacher, whose values are computed once. NaN where values are not finite for the same records.
 */
export function valueJudge(
  teacher: Model,
  target: Value,
  heldOut: Dataset,
  env: Environment,
): (model: Model, value: Value) => Promise<number> {
  const observe = createObserve({ ...env, calibration: heldOut }, () => {}, "held-out records");
  let wanted: Float32Array[] | null = null;
  return async (model, value) => {
    wanted ??= await valuesOf(teacher, [target], RECORDS, observe);
    const moved = distance(wanted, await valuesOf(model, [value], RECORDS, observe));
    return Number.isFinite(moved) ? -moved : Number.NaN;
  };
}
