/** @file Feeds for a model nobody gave data for: sizes that run, seeded random elements. */
import type { Dataset } from "../data/dataset.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { DType } from "../ir/dtype.ts";
import { Tensor, tensor } from "../ir/tensor.ts";
import { createRandom } from "../numeric/random.ts";
import type { Feeds, Port, Session } from "../runtime/runtime.ts";
import { product } from "../util/product.ts";

/** Tried in turn for dims the model leaves open (other than the first, which is the batch). */
const sizes = [32, 64, 224, 16, 8, 128, 1, 48, 320, 512, 576];

/** Fixed sizes for symbolic dims, by symbol or by input name and axis ("x.2"). */
export type Dims = Readonly<Record<string, number>>;

/**
 * The first records of the data (as many as the model takes at once), or random feeds of the first sizes that run through the model.
 * Throws TersorError "bad-feeds" with the engine's words when none does.
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
  // All inputs of one size; then the first input alone, the others (states, masks) as small as may be.
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

function remedyOf(ports: readonly Port[]): string {
  const open = ports.flatMap(({ name, dims }) =>
    dims.flatMap((dim, axis) => (typeof dim === "number" && dim > 0 ? [] : [`${name}.${axis}=N`])),
  );
  return `Give ${open.length > 0 ? `sizes with --dims ${open.join(",")}, or ` : ""}--data`;
}

/** The number that leads the inputs, where it is not free. */
function fixedBatch(ports: readonly Port[]): number | null {
  const batch = ports.find(({ dims }) => dims.length > 0)?.dims[0];
  return typeof batch === "number" && batch > 0 ? batch : null;
}

/** `others`: the size of open axes of every input but the first, where it is another. */
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

/** Floats in [0, 1); integers 0..9, small enough for any vocabulary. */
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
