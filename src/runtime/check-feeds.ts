/** @file Says what is wrong with a run's feeds before the engine does: same words from every engine. */
import { errors, fail } from "../errors.ts";
import type { Feeds, Port } from "./runtime.ts";

/** Throws "run-failed" for a missing or unknown input, another element type, another shape. */
export function checkFeeds(inputs: readonly Port[], feeds: Feeds): void {
  const known = inputs.map(({ name }) => name).join(", ");
  for (const name of Object.keys(feeds)) {
    if (!inputs.some((port) => port.name === name)) {
      throw fail(errors.runFailed(`input "${name}"`, `is not an input of the model (${known})`));
    }
  }
  for (const { name, dtype, dims } of inputs) {
    const tensor = feeds[name];
    const where = `input "${name}"`;
    if (!tensor) throw fail(errors.runFailed(where, "is not fed"));
    if (dtype && tensor.dtype !== dtype) {
      throw fail(errors.runFailed(where, `is ${dtype}, the tensor is ${tensor.dtype}`));
    }
    // No dims: a scalar, or a rank the model leaves open; the engine does not tell them apart.
    const fits =
      dims.length === 0 ||
      (dims.length === tensor.shape.length &&
        dims.every((dim, i) => typeof dim === "string" || dim === tensor.shape[i]));
    if (!fits) {
      const [want, got] = [dims.join(","), tensor.shape.join(",")];
      throw fail(errors.runFailed(where, `takes shape [${want}], the tensor has [${got}]`));
    }
  }
}
