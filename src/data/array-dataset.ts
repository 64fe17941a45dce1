/** @file A dataset of arrays that are the model's inputs, with records along the first axis. */
import { errors, fail } from "../errors.ts";
import { type DType, dtypes } from "../ir/dtype.ts";
import { type ByteSource, rawTensor, type Tensor, tensor } from "../ir/tensor.ts";
import type { Port } from "../runtime/runtime.ts";
import type { Dataset } from "./dataset.ts";
import { imageOptions } from "./options.ts";
import {
  describeDims,
  describePort,
  describePorts,
  holds,
  isInteger,
  known,
  offsetLabels,
  type ReadContext,
} from "./reader.ts";
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
  const inputs = wantedPorts(context).map((port) => ({
    port,
    array: match(port, arrays, context),
  }));
  const length = inputs[0].array.shape[0];
  for (const { port, array } of inputs) {
    if (array.shape[0] === length) continue;
    const why = `has ${array.shape[0]} records of "${port.name}" and ${length} of the first input`;
    throw fail(errors.badData(spec, why, "Give every input the same number of records"));
  }
  if (length === 0) throw fail(errors.noRecords(spec, "holds no records", "Check the file"));
  const label = arrays.get("label");
  const targets = label && readLabels(label, length, context, wholeAreClasses);

  return {
    name: spec,
    length,
    classes: null,
    labelled: targets !== undefined,
    labels: targets?.classes ?? null,
    read: async (indices) => ({
      inputs: Object.fromEntries(
        inputs.map(({ port, array }) => [port.name, convert(gather(array, indices), port, spec)]),
      ),
      label: targets ? gather(targets.array, indices) : null,
      size: indices.length,
    }),
  };
}

/** The inputs to fill: all, or the one that --input names. Throws TersorError "wrong-input". */
export function wantedPorts({ ports, options, spec }: ReadContext): readonly Port[] {
  const wanted = ports.filter((port) => !options.input || port.name === options.input);
  if (wanted.length) return wanted;
  const why = `the model has no input "${options.input}"`;
  throw fail(errors.wrongInput(spec, why, describePorts(ports), "Correct --input"));
}

/** The array of an input, whose shape must fit. */
function match(port: Port, arrays: ReadonlyMap<string, StoredArray>, context: ReadContext) {
  const { spec, ports } = context;
  const array = arrays.get(port.name);
  if (!array) {
    const why = `has no array "${port.name}" but ${[...arrays.keys()].join(", ") || "none"}`;
    const remedy = 'Name the arrays as the model\'s inputs, and the labels "label"';
    throw fail(errors.wrongInput(spec, why, describePorts(ports), remedy));
  }
  const fits = (dim: number | string, axis: number) =>
    axis === 0 || (known(dim) ?? array.shape[axis]) === array.shape[axis];
  if (!array.shape.length || array.shape.length !== port.dims.length || !port.dims.every(fits)) {
    const got = `"${port.name}" has shape ${describeDims(array.shape)}`;
    throw fail(errors.wrongShape(spec, got, describePort(port), "Reshape the array"));
  }
  return array;
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
