/** @file Inputs to time a model on: records of the data, or random tensors that it accepts. */
import type { Dataset } from "../data/dataset.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { DType } from "../ir/dtype.ts";
import { Tensor, tensor } from "../ir/tensor.ts";
import { createRandom } from "../numeric/random.ts";
import type { Feeds, Port, Session } from "../runtime/runtime.ts";
import { product } from "../util/product.ts";

/** Sizes tried in turn for the axes that the model leaves open; the first axis, the batch, is 1. */
const sizes = [32, 64, 224, 16, 8, 128, 1, 48, 320, 512, 576];

/** Sizes for open axes, under the axis' symbol ("N") or the input's name and the axis ("x.2"). */
export type Dims = Readonly<Record<string, number>>;

/**
 * Inputs for one run: the first records of the data (one, or as many as a fixed batch size asks
 * for), or without data random inputs of the first of `sizes` with which the model runs. Throws
 * TersorError "bad-feeds" with the engine's error text if it runs with none of them.
 */
export async function sampleFeeds(
  session: Pick<Session, "inputs" | "run">,
  options: { readonly data: Dataset | null; readonly seed: number; readonly dims?: Dims },
): Promise<Feeds> {
  if (options.data) {
    const { length } = options.data;
    const batch = fixedBatch(session.inputs) ?? 1;
    const { inputs } = await options.data.read(Array.from({ length: batch }, (_, i) => i % length));
    return inputs;
  }
  let first: unknown;
  // First all inputs get the same size. Then only the first input does, and the others (states,
  // masks) get size 1.
  for (const others of [null, 1]) {
    for (const size of sizes) {
      const feeds = randomFeeds(session.inputs, options.seed, size, options.dims ?? {}, others);
      try {
        await session.run(feeds);
        return feeds;
      } catch (cause) {
        first ??= cause;
      }
    }
  }
  if (!(first instanceof TersorError)) throw first;
  const why = `no guessed sizes run (${first.what})`;
  throw fail(errors.badFeeds("random inputs", why, remedyOf(session.inputs)), first);
}

/** The remedy of the error: the flags that would give the sizes which could not be guessed. */
function remedyOf(ports: readonly Port[]): string {
  const open = ports.flatMap(({ name, dims }) =>
    dims.flatMap((dim, axis) => (typeof dim === "number" && dim > 0 ? [] : [`${name}.${axis}=N`])),
  );
  return `Give ${open.length > 0 ? `sizes with --dims ${open.join(",")}, or ` : ""}--data`;
}

/**
 * The batch size if the model fixes it (first axis of the first input that has axes), else null.
 */
function fixedBatch(ports: readonly Port[]): number | null {
  const batch = ports.find(({ dims }) => dims.length > 0)?.dims[0];
  return typeof batch === "number" && batch > 0 ? batch : null;
}

/**
 * Random feeds for all inputs. An open axis gets its size from `dims`, else 1 if it is the first
 * axis, else `size`; with `others`, inputs after the first use that number in place of `size`.
 */
export function randomFeeds(
  ports: readonly Port[],
  seed: number,
  size: number,
  dims: Dims,
  others: number | null = null,
): Feeds {
  const feeds: Record<string, Tensor> = {};
  for (const [i, port] of ports.entries()) {
    const free = i === 0 ? size : (others ?? size);
    const shape = port.dims.map((dim, axis) => {
      if (typeof dim === "number" && dim > 0) return dim;
      return dims[`${port.name}.${axis}`] ?? dims[String(dim)] ?? (axis === 0 ? 1 : free);
    });
    feeds[port.name] = randomTensor(port.dtype ?? "float32", shape, seed);
  }
  return feeds;
}

/**
 * A tensor of seeded random elements: floats in [0, 1); integers 0..9, so that they are valid
 * indices into any usual vocabulary; booleans true; strings empty.
 */
export function randomTensor(dtype: DType, shape: readonly number[], seed: number): Tensor {
  const random = createRandom(seed);
  const size = product(shape);
  if (dtype === "string") {
    return new Tensor("string", shape, () => new Uint8Array(0), new Array(size).fill(""));
  }
  const isFloat = dtype.includes("float");
  const draw = (): number => (isFloat ? random.float() : dtype === "bool" ? 1 : random.int(10));
  return tensor(dtype, shape, Array.from({ length: size }, draw));
}
