/** @file A dataset of arrays that are the model's inputs, with records along the first axis. */
import { errors, fail } from "../errors.ts";
import { type DType, dtypes } from "../ir/dtype.ts";
import { type ByteSource, rawTensor, type Tensor, tensor } from "../ir/tensor.ts";
import type { Port } from "../runtime/runtime.ts";
import { batchAxes } from "./batch-axes.ts";
import type { Dataset } from "./dataset.ts";
import { checkFeeding, feedingOf, isFromData, orFed } from "./feed.ts";
import { isUniform, layoutOf } from "./layout.ts";
import { imageOptions } from "./options.ts";
import {
  describeDims,
  describePort,
  describePorts,
  holds,
  isInteger,
  offsetLabels,
  type ReadContext,
} from "./reader.ts";
import { joined, recordAlong } from "./stack.ts";
import { memorySource } from "./zip.ts";

/** A row-major array [N, ...] whose bytes are in memory or in a file. */
export interface StoredArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly source: ByteSource;
}

/**
 * The dataset of `arrays`, by the names of the inputs; the array `label` has class indices or float
 * targets. `wholeAreClasses` is explained at readLabels. Throws TersorError "bad-option",
 * "wrong-input", "wrong-shape", "bad-data", "no-records", "label-count" or "bad-label".
 */
export function arrayDataset(
  arrays: ReadonlyMap<string, StoredArray>,
  context: ReadContext,
  wholeAreClasses = false,
): Dataset {
  const { spec, options } = context;
  for (const name of imageOptions) {
    if (options[name] === undefined) continue;
    const why = `--${name} is about images, and these records are taken as they are`;
    throw fail(errors.badOption(spec, why, "Leave it out"));
  }
  const ports = wantedPorts(context);
  const label = arrays.get("label");
  const length = lengthOf(ports, arrays, label);
  const inputs = ports.map((port) => columnOf(port, arrays, length, context));
  if (length === 0) throw fail(errors.noRecords(spec, "holds no records", "Check the file"));
  const targets = label && readLabels(label, length, context, wholeAreClasses);
  const axes = new Map(inputs.flatMap(({ port, axis }) => (axis === 0 ? [] : [[port.name, axis]])));

  return {
    name: spec,
    length,
    classes: null,
    labelled: targets !== undefined,
    labels: targets?.classes ?? null,
    ...(axes.size > 0 && { axes }),
    ...(inputs.some(({ isSingle }) => isSingle) && { isSingle: true }),
    read: async (indices) => ({
      inputs: Object.fromEntries(
        inputs.map(({ port, read }) => [port.name, convert(read(indices), port, spec)]),
      ),
      label: targets ? gather(targets.array, indices) : null,
      size: indices.length,
    }),
  };
}

/**
 * How many records there are: as many as labels, else as the first input has along its first axis, if
 * records lie along it.
 */
function lengthOf(
  ports: readonly Port[],
  arrays: ReadonlyMap<string, StoredArray>,
  label: StoredArray | undefined,
): number {
  const axes = batchAxes(ports);
  const found = ports.find(({ name }) => axes.get(name) === 0 && arrays.get(name)?.shape.length);
  const first = found ?? ports.find(({ name }) => arrays.get(name)?.shape.length);
  const array = first ? arrays.get(first.name) : label;
  return array?.shape[0] ?? label?.shape[0] ?? 1;
}

/**
 * The inputs that records fill: those that a bare --input names, else all that are not fed in
 * another way. Throws TersorError "wrong-input".
 */
export function wantedPorts({ ports, options, spec }: ReadContext): readonly Port[] {
  const feeding = feedingOf(options.input);
  checkFeeding(feeding, ports, null, spec);
  const named = ports.filter(({ name }) => feeding.get(name) === "data");
  return ports.filter((port) => {
    const feed = feeding.get(port.name);
    return isFromData(feed) && (named.length === 0 || feed !== undefined);
  });
}

/** The part of an array that fills an input. */
interface Column {
  readonly port: Port;
  /** The input's axis of records; null if it has none. */
  readonly axis: number | null;
  /** Records must run one at a time, because a run takes one value for all of its records. */
  readonly isSingle: boolean;
  read(indices: readonly number[]): Tensor;
}

/** The array of an input, whose shape must fit. */
function columnOf(
  port: Port,
  arrays: ReadonlyMap<string, StoredArray>,
  length: number,
  context: ReadContext,
): Column {
  const { spec, ports, options } = context;
  const array = arrays.get(port.name);
  if (!array) {
    const names = [...arrays.keys()];
    const why = `has no array "${port.name}" but ${names.join(", ") || "none"}`;
    const isFed = names.some((name) => ports.some((other) => other.name === name));
    const feed = isFed ? orFed(port) : "";
    const remedy = `Name the arrays as the model's inputs, and the labels "label"${feed}`;
    throw fail(errors.wrongInput(spec, why, describePorts(ports), remedy));
  }
  const declared = batchAxes(ports, feedingOf(options.input)).get(port.name) ?? null;
  const layout = layoutOf(port, array.shape, declared, length);
  if (!layout) {
    const got = `"${port.name}" has shape ${describeDims(array.shape)}`;
    throw fail(errors.wrongShape(spec, got, describePort(port), "Reshape the array"));
  }
  const { from, axis, shape } = layout;
  if (from === 0 && array.shape[0] !== length) {
    const why = `has ${array.shape[0]} records of "${port.name}" and ${length} of the first input`;
    throw fail(errors.badData(spec, why, "Give every input the same number of records"));
  }
  const whole = () =>
    rawTensor(array.dtype, array.shape, array.source.read(0, array.source.byteLength));
  const isShared = from === null || (axis === null && isUniform(whole(), length));
  const one = (index: number): Tensor =>
    from === 0 ? gather(array, [index]).reshape(shape) : recordAlong(whole(), from ?? 0, index);
  return {
    port,
    axis,
    isSingle: axis === null && !isShared,
    read: isShared
      ? () => (from === null ? whole().reshape(shape) : one(0))
      : from === 0 && axis === 0
        ? (indices) => gather(array, indices).reshape([indices.length, ...shape.slice(1)])
        : (indices) => joined(indices.map(one), axis ?? 0),
  };
}

/**
 * The labels: class indices as int64, one for each record or token, or float32 targets. Floats of
 * two or more axes are targets. With `wholeAreClasses` they are classes if they are whole numbers,
 * for sources that do not distinguish integers from floats.
 */
function readLabels(
  label: StoredArray,
  length: number,
  { spec, options }: ReadContext,
  wholeAreClasses: boolean,
) {
  if (label.shape[0] !== length) {
    throw fail(errors.labelCount(spec, label.shape[0] ?? 1, length));
  }
  const all = rawTensor(label.dtype, label.shape, label.source.read(0, label.source.byteLength));
  const numbers = all.numbers();
  let wrong = 0;
  while (wrong < all.size && numbers[wrong] === (numbers[wrong] | 0)) wrong++;
  const whole = wrong === all.size;
  if (label.shape.length > 1 && !isInteger(label.dtype) && !(whole && wholeAreClasses)) {
    return { array: stored(tensor("float32", label.shape, all.floats())), classes: null };
  }
  if (!whole) throw fail(errors.badLabel(`${spec}[${wrong}]`, `${numbers[wrong]}`));
  const indices = offsetLabels(Int32Array.from(numbers), options.labelOffset);
  return {
    array: stored(tensor("int64", label.shape, indices)),
    classes: label.shape.length === 1 ? indices : null,
  };
}

/** A tensor in memory as an array of records. */
export function stored(values: Tensor): StoredArray {
  return { dtype: values.dtype, shape: values.shape, source: memorySource(values.bytes()) };
}

/** The records of these indices, in their order. */
function gather({ dtype, shape, source }: StoredArray, indices: readonly number[]): Tensor {
  const record = source.byteLength / shape[0];
  const bytes = new Uint8Array(record * indices.length);
  indices.forEach((index, slot) => {
    bytes.set(source.read(index * record, record), slot * record);
  });
  return rawTensor(dtype, [indices.length, ...shape.slice(1)], bytes);
}

/**
 * The values in the element type of the port. Throws TersorError "bad-data" where an integer type
 * cannot hold a value.
 */
function convert(values: Tensor, port: Port, where: string): Tensor {
  const to = port.dtype;
  if (to === null || to === values.dtype) return values;
  const numbers = Float64Array.from(values.numbers());
  const wrong = dtypes[to].kind === "int" ? numbers.findIndex((x) => !holds(to, x)) : -1;
  if (wrong >= 0) {
    const why = `"${port.name}" holds ${numbers[wrong]}, which ${to} cannot`;
    throw fail(errors.badData(where, why, `Store the array as ${to}`));
  }
  return tensor(to, values.shape, numbers);
}
