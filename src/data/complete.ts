/** @file Adds to the records of a dataset the inputs that no record fills, as `--input` says. */
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { createRandom } from "../numeric/random.ts";
import { agreeingAxes } from "../ops/agree.ts";
import type { Feeds, Port } from "../runtime/runtime.ts";
import { batchAxes } from "./batch-axes.ts";
import { type Batch, type Dataset, numberOf } from "./dataset.ts";
import { filled, rangesOf } from "./draw.ts";
import { type Feed, type Feeding, isFromData } from "./feed.ts";
import { type Dims, guessShapes, type Shapes } from "./guess-shapes.ts";
import { known } from "./reader.ts";
import { joined } from "./stack.ts";

/** What decides the inputs that are added. */
export interface Completion {
  /** All inputs of the model. */
  readonly ports: readonly Port[];
  readonly feeding: Feeding;
  /** Says which sizes agree, and which integers an input may hold; null: only names do. */
  readonly model: Model | null;
  /** Sizes of open axes. */
  readonly dims?: Dims;
  readonly seed?: number;
}

/**
 * The dataset with the inputs that `feeding` says are made, not read: constants, masks, positions,
 * ids. Their sizes are those of the records' axes with which they agree; integers of "ids" depend on
 * the seed and the record's number.
 */
export function completed(dataset: Dataset, completion: Completion): Dataset {
  const { ports, feeding, model, seed = 1 } = completion;
  const made = ports.flatMap((port) => {
    const feed = feeding.get(port.name);
    return feed === undefined || isFromData(feed) ? [] : [{ port, feed }];
  });
  if (made.length === 0) return dataset;
  const own = batchAxes(ports, feeding);
  const added = made.flatMap(({ port: { name } }) => {
    const axis = own.get(name) ?? null;
    return axis === 0 ? [] : [[name, axis] as const];
  });
  const ranges = byShapes((shapes) => (model ? rangesOf(model, ports, shapes) : new Map()));
  const shapesOf = byShapes((shapes) => shapesFor(shapes, completion));
  const make = (port: Port, feed: Feed, batch: Batch, indices: readonly number[]): Tensor => {
    const { name, dtype } = port;
    const read = Object.entries(batch.inputs).map(([name, { shape }]) => [name, shape] as const);
    const axis = own.get(name) ?? null;
    const all = shapesOf(Object.fromEntries(read));
    const shape = axis === null ? all[name] : all[name].with(axis, batch.size);
    const type = dtype ?? "float32";
    if (feed === "mask" && batch.lengths) return maskOf(port, shape, batch.lengths, axis);
    const range = feed === "ids" ? (ranges({ ...all, [name]: shape }).get(name) ?? null) : null;
    const draw = (number: number) => ({
      range,
      role: null,
      ceiling: 2,
      random: createRandom(seed).fork(`${name}/${number}`),
    });
    if (feed !== "ids" || axis === null) return filled(type, shape, feed, draw(0));
    const one = (index: number) =>
      filled(type, shape.with(axis, 1), feed, draw(numberOf(dataset, index)));
    return joined(indices.map(one), axis);
  };
  return {
    ...dataset,
    axes: new Map([...(dataset.axes ?? []), ...added]),
    read: async (indices) => complete(await dataset.read(indices), indices),
    ...(dataset.readWindows && {
      readWindows: async (indices, windows) =>
        complete(await dataset.readWindows!(indices, windows), indices),
    }),
    ...(dataset.even && { even: async () => completed(await dataset.even!(), completion) }),
  };

  function complete(batch: Batch, indices: readonly number[]): Batch {
    const inputs = new Map(Object.entries(batch.inputs));
    for (const { port, feed } of made) inputs.set(port.name, make(port, feed, batch, indices));
    return { ...batch, inputs: inOrder(inputs, ports) };
  }
}

/** The inputs in the order of the model. */
const inOrder = (inputs: ReadonlyMap<string, Tensor>, ports: readonly Port[]): Feeds =>
  Object.fromEntries(
    ports.flatMap(({ name }) => {
      const given = inputs.get(name);
      return given ? [[name, given]] : [];
    }),
  );

/** The sizes of the axes: "x.0" is the first of input x. */
function sizesOf(shapes: Shapes): Dims {
  return Object.fromEntries(
    Object.entries(shapes).flatMap(([name, shape]) =>
      shape.map((size, axis) => [`${name}.${axis}`, size] as const),
    ),
  );
}

/**
 * The shape of every input, for records of these shapes. An open size that agrees with none of them
 * is that of the same axis of an input with as many axes; in a cache [N,heads,P,E] it is 0.
 */
function shapesFor(read: Shapes, { ports, model, dims = {} }: Completion): Shapes {
  const groups = model ? agreeingAxes(model) : new Map<string, number | string>();
  const given: Record<string, number> = { ...dims, ...sizesOf(read) };
  const rootOf = (name: string, dim: number | string, axis: number): number | string =>
    groups.get(`${name}.${axis}`) ?? (dim || `${name}.${axis}`);
  const said = new Set(
    ports.flatMap(({ name, dims: axes }) =>
      axes.flatMap((dim, axis) =>
        `${name}.${axis}` in given || dim in given ? [rootOf(name, dim, axis)] : [],
      ),
    ),
  );
  for (const { name, dims: axes } of ports) {
    const alike = Object.values(read).find(({ length }) => length === axes.length);
    for (const [axis, dim] of axes.entries()) {
      if (axis === 0 || known(dim) !== undefined || said.has(rootOf(name, dim, axis))) continue;
      if (String(dim).includes("+")) continue; // the sum of others
      if (alike) given[`${name}.${axis}`] = alike[axis];
      else if (axes.length === 4) given[`${name}.${axis}`] = 0;
    }
  }
  const [shapes] = guessShapes(ports, groups, given);
  return shapes;
}

/** 1 where a record has values and 0 behind them; the last axis is that of the sequence. */
function maskOf(
  { name, dtype }: Port,
  shape: readonly number[],
  lengths: readonly number[],
  axis: number | null,
): Tensor {
  const row = shape.at(-1) ?? 1;
  if (axis !== 0 || shape.length < 2) {
    const why = `a mask of shape [${shape}] cannot tell ${lengths.length} records apart`;
    throw fail(errors.badFeeds(`input "${name}"`, why, "Give it in the data"));
  }
  const each = shape.slice(1).reduce((a, b) => a * b, 1);
  const values = Array.from({ length: each * lengths.length }, (_, i) =>
    i % row < lengths[Math.floor(i / each)] ? 1 : 0,
  );
  return tensor(dtype ?? "int64", shape, values);
}

/** A function of shapes that keeps its last result: most batches are of the same shapes. */
function byShapes<T>(f: (shapes: Shapes) => T): (shapes: Shapes) => T {
  let last: { readonly key: string; readonly value: T } | null = null;
  return (shapes) => {
    const key = JSON.stringify(shapes);
    if (last?.key !== key) last = { key, value: f(shapes) };
    return last.value;
  };
}
