/** @file Feeds for a model nobody gave data for: sizes that run, seeded random elements. */
import type { Dataset } from "../data/dataset.ts";
import type { DType } from "../ir/dtype.ts";
import { Tensor, tensor } from "../ir/tensor.ts";
import { createRandom } from "../numeric/random.ts";
import type { Feeds, Port, Session } from "../runtime/runtime.ts";

/** Tried in turn for dims the model leaves open (other than the first, which is the batch). */
const sizes = [32, 64, 224, 16, 8, 128, 1, 48, 320];

/** Fixed sizes for symbolic dims, by symbol or by input name and axis ("x.2"). */
export type Dims = Readonly<Record<string, number>>;

/**
 * The first record of the data, or random feeds of the first sizes that run through the model.
 * Rejects with the engine's own error when none does.
 */
export async function sampleFeeds(
  session: Pick<Session, "inputs" | "run">,
  options: { readonly data: Dataset | null; readonly seed: number; readonly dims?: Dims },
): Promise<Feeds> {
  if (options.data) {
    const { inputs } = await options.data.read([0]);
    return inputs;
  }
  let first: unknown;
  for (const size of sizes) {
    const feeds = randomFeeds(session.inputs, options.seed, size, options.dims ?? {});
    try {
      await session.run(feeds);
      return feeds;
    } catch (cause) {
      first ??= cause;
    }
  }
  throw first;
}

export function randomFeeds(ports: readonly Port[], seed: number, size: number, dims: Dims): Feeds {
  const feeds: Record<string, Tensor> = {};
  for (const port of ports) {
    const shape = port.dims.map((dim, axis) => {
      if (typeof dim === "number" && dim > 0) return dim;
      return dims[`${port.name}.${axis}`] ?? dims[String(dim)] ?? (axis === 0 ? 1 : size);
    });
    feeds[port.name] = randomTensor(port.dtype ?? "float32", shape, seed);
  }
  return feeds;
}

/** Floats in [0, 1); integers 0..9, small enough for any vocabulary. */
export function randomTensor(dtype: DType, shape: readonly number[], seed: number): Tensor {
  const random = createRandom(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  if (dtype === "string") {
    return new Tensor("string", shape, () => new Uint8Array(0), new Array(size).fill(""));
  }
  const isFloat = dtype.includes("float");
  const draw = (): number => (isFloat ? random.float() : dtype === "bool" ? 1 : random.int(10));
  return tensor(dtype, shape, Array.from({ length: size }, draw));
}
