/** @file How far a value of a model is from that of its teacher, on held-out records. */
import type { Dataset } from "../data/dataset.ts";
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
  const valuesOf = async (model: Model, value: Value): Promise<Float32Array[]> => {
    const found: Float32Array[] = [];
    // The values of a batch belong to the engine, which may use their memory again.
    await observe(model, [{ value }], (_, batch) => found.push(batch.floats().slice()), RECORDS);
    return found;
  };
  let wanted: Float32Array[] | null = null;
  return async (model, value) => {
    wanted ??= await valuesOf(teacher, target);
    const found = await valuesOf(model, value);
    let [error, power] = [0, 0];
    for (const [i, y] of wanted.entries()) {
      if (found[i]?.length !== y.length) return Number.NaN;
      for (const [k, x] of y.entries()) {
        error += (found[i][k] - x) ** 2;
        power += x * x;
      }
    }
    return power > 0 ? -error / power : 0;
  };
}
