/**
 * @file Inputs and outputs of another type than the original's, as a step declares them in the
 * model's metadata:
 *
 *   tersor.retyped = ["past_key_values.0.key", "present.0.key"]
 *
 * Every other input and output must stay as it is, which is checked after each step.
 */
import type { DType } from "./dtype.ts";
import type { Dim, Value } from "./graph.ts";
import type { Model } from "./model.ts";

const key = "tersor.retyped";

/** The names of the inputs and outputs whose type a step changed. */
export function retyped({ metadata }: Pick<Model, "metadata">): ReadonlySet<string> {
  try {
    const names: unknown = JSON.parse(metadata.get(key) ?? "[]");
    return new Set(Array.isArray(names) ? names.map(String) : []);
  } catch {
    return new Set(); // Another tool wrote something else there.
  }
}

/** Gives an input or output of the model another type, and declares that. */
export function retype(
  model: Model,
  value: Value,
  dtype: DType,
  shape: readonly Dim[] | null = value.shape,
): void {
  value.dtype = dtype;
  value.shape = shape;
  model.metadata.set(key, JSON.stringify([...retyped(model), value.name]));
}
