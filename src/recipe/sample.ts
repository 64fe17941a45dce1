/** @file Inputs to time a model on: records of the data, or random tensors that it accepts. */
import type { Dataset } from "../data/dataset.ts";
import { type Dims, guessShapes, type Shapes } from "../data/guess-shapes.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { DType } from "../ir/dtype.ts";
import type { Model } from "../ir/model.ts";
import { Tensor, tensor } from "../ir/tensor.ts";
import { createRandom, type Random } from "../numeric/random.ts";
import { agreeingAxes } from "../ops/agree.ts";
import { bindDims } from "../ops/infer.ts";
import { integersOf } from "../ops/integers.ts";
import type { Range } from "../ops/range.ts";
import { type Feeds, fixedBatch, type Port, type Session } from "../runtime/runtime.ts";
import { product } from "../util/product.ts";

/**
 * What integers that nothing is known of are drawn below, in turn: a table that no rule finds may
 * have few rows.
 */
const ceilings = [10, 2, 1];

/**
 * Inputs for one run: the first records of the data (one, or as many as a fixed batch size asks
 * for), or without data the first random inputs with which the model runs. Their sizes are guessed
 * (guess-shapes.ts), their integers are ones that the graph can read. Throws TersorError "bad-feeds"
 * with the engine's first error text if it runs with none.
 */
export async function sampleFeeds(
  session: Pick<Session, "inputs" | "run">,
  model: Model,
  options: { readonly data: Dataset | null; readonly seed: number; readonly dims?: Dims },
): Promise<Feeds> {
  const { data, seed, dims = {} } = options;
  if (data) {
    const { length } = data;
    const batch = fixedBatch(session.inputs) ?? 1;
    const { inputs } = await data.read(Array.from({ length: batch }, (_, i) => i % length));
    return inputs;
  }
  let first: unknown;
  for (const shapes of guessShapes(session.inputs, agreeingAxes(model), dims)) {
    const ranges = rangesOf(model, session.inputs, shapes);
    const isOpen = session.inputs.some(({ name, dtype }) => isIndex(dtype) && !ranges.has(name));
    for (const ceiling of isOpen ? ceilings : ceilings.slice(0, 1)) {
      try {
        const feeds = randomFeeds(session.inputs, shapes, ranges, seed, ceiling);
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

/** Records over which a model is timed whose work depends on its input, at most. */
const SPREAD = 32;

/**
 * Inputs for several runs, spread evenly over the records, of as many records each as `feeds`. Those
 * of other shapes are left out: their times could not be compared.
 */
export async function spreadFeeds(data: Dataset, feeds: Feeds): Promise<Feeds[]> {
  const [[name, { shape }]] = Object.entries(feeds);
  const batch = shape[0] ?? 1;
  const runs = Math.max(1, Math.min(SPREAD, Math.floor(data.length / batch)));
  const found: Feeds[] = [];
  for (let run = 0; run < runs; run++) {
    const first = Math.floor((run * data.length) / runs);
    const { inputs } = await data.read(
      Array.from({ length: batch }, (_, i) => (first + i) % data.length),
    );
    if (`${inputs[name].shape}` === `${shape}`) found.push(inputs);
  }
  return found;
}

/** The remedy of the error: the flags that would give the sizes which could not be guessed. */
function remedyOf(ports: readonly Port[]): string {
  const open = ports.flatMap(({ name, dims }) =>
    dims.flatMap((dim, axis) => (typeof dim === "number" && dim > 0 ? [] : [`${name}.${axis}=N`])),
  );
  return `Give ${open.length > 0 ? `sizes with --dims ${open.join(",")}, or ` : ""}--data`;
}

/** The integers that the inputs may hold, as far as the graph tells, for inputs of these shapes. */
function rangesOf(model: Model, ports: readonly Port[], shapes: Shapes): Map<string, Range> {
  if (!ports.some(({ dtype }) => isIndex(dtype))) return new Map();
  const { inputs } = bindDims(model, shapes).graph;
  return new Map(
    inputs.flatMap((input) => {
      const range = isIndex(input.dtype) ? integersOf(input) : null;
      return range ? [[input.name, range] as const] : [];
    }),
  );
}

/** Whether elements may be indices, lengths or masks. Integers of 8 and 16 bits are pixels, codes. */
const isIndex = (dtype: DType | null): boolean => dtype === "int64" || dtype === "int32";

/** The most elements of an input that are drawn: 512 MB of float32. */
const MOST = 2 ** 27;

/**
 * Random feeds of these shapes; each input has random numbers of its own. Throws TersorError
 * "bad-feeds" for an input that is too large to be drawn.
 */
function randomFeeds(
  ports: readonly Port[],
  shapes: Shapes,
  ranges: ReadonlyMap<string, Range>,
  seed: number,
  ceiling: number,
): Feeds {
  const random = createRandom(seed);
  return Object.fromEntries(
    ports.map(({ name, dtype }) => {
      const size = product(shapes[name]);
      if (size > MOST) {
        const why = `would have ${size} elements`;
        throw fail(errors.badFeeds(`input "${name}"`, why, "Give --data"));
      }
      const isMask = /mask/i.test(name);
      const range = ranges.get(name) ?? (isMask ? { low: 0, high: 1 } : null);
      const draw = { range, isMask, ceiling, random: random.fork(name) };
      return [name, randomTensor(dtype ?? "float32", shapes[name], draw)];
    }),
  );
}

interface Draw {
  /** The integers to draw from; null where nothing is known. */
  readonly range: Range | null;
  readonly isMask: boolean;
  readonly ceiling: number;
  readonly random: Random;
}

/**
 * A tensor of random elements: floats in [0, 1), or 0 and 1 in a mask; indices in their range, 8-bit
 * integers from all that there are, other integers below the ceiling; strings empty. Where there are
 * only 0 and 1, as in masks and truth values, each row begins with 1, because the softmax of a row of
 * which everything is masked is not finite.
 */
function randomTensor(dtype: DType, shape: readonly number[], draw: Draw): Tensor {
  const { range, isMask, ceiling, random } = draw;
  const size = product(shape);
  if (dtype === "string") {
    return new Tensor("string", shape, () => new Uint8Array(0), new Array(size).fill(""));
  }
  const isFloat = dtype.includes("float");
  if (isFloat && !isMask) return tensor(dtype, shape, Array.from({ length: size }, random.float));
  const { low, high } =
    dtype === "bool"
      ? { low: 0, high: 1 }
      : (range ??
        (/^u?int8$/.test(dtype)
          ? bytes[dtype as keyof typeof bytes]
          : { low: 0, high: ceiling - 1 }));
  const row = shape.at(-1) ?? 1;
  const isFlag = low === 0 && high === 1;
  const values = Array.from({ length: size }, (_, i) =>
    isFlag && i % row === 0 ? 1 : low + random.int(Math.min(high - low + 1, 2 ** 32)),
  );
  return tensor(dtype, shape, values);
}

const bytes = { uint8: { low: 0, high: 255 }, int8: { low: -128, high: 127 } };
