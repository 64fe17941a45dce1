/** @file Checks the feeds of a run before the engine sees them: equal errors from all engines. */
import { errors, fail } from "../errors.ts";
import { rawTensor, type Tensor } from "../ir/tensor.ts";
import type { Feeds, Port } from "./runtime.ts";

/**
 * The feeds as the engine takes them. An empty tensor holds no numbers, so it gets the input's type
 * where it has another one: a model whose cache is int8 begins with the same empty cache as one
 * whose cache is float32.
 *
 * Throws TersorError "run-failed" for a feed that is no input of the model, an input that is not
 * fed, a wrong element type, and a shape that does not fit. (The native engine ignores unknown
 * names.)
 */
export function checkFeeds(inputs: readonly Port[], given: Feeds): Feeds {
  const feeds = { ...given };
  const known = inputs.map(({ name }) => name).join(", ");
  for (const name of Object.keys(feeds)) {
    if (!inputs.some((port) => port.name === name)) {
      throw fail(errors.runFailed(`input "${name}"`, `is not an input of the model (${known})`));
    }
  }
  for (const { name, dtype, dims } of inputs) {
    const where = `input "${name}"`;
    if (!Object.hasOwn(feeds, name)) throw fail(errors.runFailed(where, "is not fed"));
    const tensor = emptyAs(feeds[name], dtype, dims);
    if (dtype && tensor.dtype !== dtype) {
      const words = `is ${dtype}, the tensor is ${tensor.dtype}`;
      const isCache = tensor.dtype.includes("float") && dtype.includes("int8");
      throw fail(
        isCache
          ? errors.runFailed(where, `${where} ${words}`, onlyEmpty)
          : errors.runFailed(where, words),
      );
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
    feeds[name] = tensor;
  }
  return feeds;
}

const onlyEmpty = "A cache of floats is taken only while it is empty";

/** An empty tensor of another type as one of the input's type and sizes; others as they are. */
function emptyAs(tensor: Tensor, dtype: Port["dtype"], dims: Port["dims"]): Tensor {
  const isEmpty = tensor.shape.includes(0) && tensor.shape.length === dims.length;
  if (!isEmpty || !dtype || tensor.dtype === dtype || dtype === "string") return tensor;
  const shape = tensor.shape.map((size, i) => {
    const dim = dims[i];
    return typeof dim === "number" && size !== 0 ? dim : size;
  });
  return rawTensor(dtype, shape, new Uint8Array());
}
