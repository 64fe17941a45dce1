/** @file Checks the feeds of a run before the engine sees them: equal errors from all engines. */
import { errors, fail } from "../errors.ts";
import type { Feeds, Port } from "./runtime.ts";

/**
 * Throws TersorError "run-failed" for a feed that is no input of the model, an input that is not
 * fed, a wrong element type, and a shape that does not fit. (The native engine ignores unknown
 * names.)
 */
export function checkFeeds(inputs: readonly Port[], feeds: Feeds): void {
  const known = inputs.map(({ name }) => name).join(", ");
  for (const name of Object.keys(feeds)) {
    if (!inputs.some((port) => port.name === name)) {
      throw fail(errors.runFailed(`input "${name}"`, `is not an input of the model (${known})`));
    }
  }
  for (const { name, dtype, dims } of inputs) {
    const tensor = Object.hasOwn(feeds, name) ? feeds[name] : null;
    const where = `input "${name}"`;
    if (!tensor) throw fail(errors.runFailed(where, "is not fed"));
    if (dtype && tensor.dtype !== dtype) {
      throw fail(errors.runFailed(where, `is ${dtype}, the tensor is ${tensor.dtype}`));
    }
    // The engine gives no dims for a scalar and also where the model leaves the rank open.
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
