/** @file Inputs to time a model on: records of the data, or random tensors that it accepts. */
import { type Dataset, fixedRecords } from "../data/dataset.ts";
import { filled, isIndex, rangesOf, roleOf } from "../data/draw.ts";
import type { Feeding } from "../data/feed.ts";
import { type Dims, guessShapes, type Shapes } from "../data/guess-shapes.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import { createRandom } from "../numeric/random.ts";
import { agreeingAxes } from "../ops/agree.ts";
import type { Range } from "../ops/range.ts";
import type { Feeds, Port, Session } from "../runtime/runtime.ts";
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
  options: {
    readonly data: Dataset | null;
    readonly seed: number;
    readonly dims?: Dims;
    readonly feeding?: Feeding;
  },
): Promise<Feeds> {
  const { data, seed, dims = {}, feeding = new Map() } = options;
  if (data) {
    const { length } = data;
    const batch = fixedRecords(data, session.inputs) ?? 1;
    const { inputs } = await data.read(Array.from({ length: batch }, (_, i) => i % length));
    return inputs;
  }
  let first: unknown;
  const sizes = { ...batchSizes(feeding), ...dims };
  for (const shapes of guessShapes(session.inputs, agreeingAxes(model), sizes)) {
    const ranges = rangesOf(model, session.inputs, shapes);
    const isOpen = session.inputs.some(({ name, dtype }) => isIndex(dtype) && !ranges.has(name));
    for (const ceiling of isOpen ? ceilings : ceilings.slice(0, 1)) {
      try {
        const feeds = randomFeeds(session.inputs, shapes, { ranges, feeding, seed, ceiling });
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
    if (`${inputs[name]?.shape}` === `${shape}`) found.push(inputs);
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

/** The most elements of an input that are drawn: 512 MB of float32. */
const MOST = 2 ** 27;

/** One record along an axis that is said to be that of the records. */
function batchSizes(feeding: Feeding): Dims {
  return Object.fromEntries(
    [...feeding].flatMap(([name, feed]) =>
      typeof feed === "object" && "axis" in feed ? [[`${name}.${feed.axis}`, 1] as const] : [],
    ),
  );
}

/** What decides the elements of random feeds. */
interface Elements {
  readonly ranges: ReadonlyMap<string, Range>;
  readonly feeding: Feeding;
  readonly seed: number;
  readonly ceiling: number;
}

/**
 * Feeds of these shapes: each input as `feeding` says, else with random numbers of its own. Throws
 * TersorError "bad-feeds" for an input that is too large to be drawn.
 */
function randomFeeds(
  ports: readonly Port[],
  shapes: Shapes,
  { ranges, feeding, seed, ceiling }: Elements,
): Feeds {
  const random = createRandom(seed);
  return Object.fromEntries(
    ports.map((port, i) => {
      const { name, dtype } = port;
      const size = product(shapes[name]);
      if (size > MOST) {
        const why = `would have ${size} elements`;
        throw fail(errors.badFeeds(`input "${name}"`, why, "Give --data"));
      }
      const role = roleOf(port, i === 0);
      const range = ranges.get(name) ?? null;
      const draw = { range, role, ceiling, random: random.fork(name) };
      return [name, filled(dtype ?? "float32", shapes[name], feeding.get(name) ?? "data", draw)];
    }),
  );
}
