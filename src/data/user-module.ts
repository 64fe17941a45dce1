/**
 * @file A user's module whose default export gives records `{ inputs, label }`, which
 * are kept in memory.
 */
import { errors, fail } from "../errors.ts";
import { Tensor, tensor } from "../ir/tensor.ts";
import type { Port } from "../runtime/runtime.ts";
import { product } from "../util/product.ts";
import { arrayDataset, type StoredArray, stored, wantedPorts } from "./array-dataset.ts";
import type { Dataset } from "./dataset.ts";
import { orFed } from "./feed.ts";
import { describePorts, type ReadContext } from "./reader.ts";
import { recordShape } from "./table.ts";

const example =
  "Write: export default async function* () { yield { inputs: { x: [1, 2] }, label: 0 } }";

/** The numbers of one record, and their shape as given by nesting or by a Tensor. */
interface Values {
  readonly values: Float64Array;
  readonly shape: readonly number[];
}

/**
 * Reads the records of a module; its default export is an iterable, or a function that returns one.
 * Throws TersorError "bad-module", "no-records", "label-count", "wrong-input" or "bad-data".
 */
export async function readModule(path: string, context: ReadContext): Promise<Dataset> {
  const { spec, options, platform } = context;
  const found = await platform.module(path);
  const records = typeof found === "function" ? await found() : found;
  if (!isIterable(records)) {
    const what = "its default export is not an iterable of records";
    throw fail(errors.badModule(path, what, example));
  }
  const ports = wantedPorts(context);
  const names = [...ports.map((port) => port.name), "label"];
  const columns = new Map<string, Values[]>(names.map((name) => [name, []]));
  let count = 0;
  for await (const record of records) {
    const where = `${path}: record ${count}`;
    const fields = fieldsOf(record, ports, where);
    for (const [name, value] of fields)
      columns.get(name)!.push(valuesOf(value, `${where}, ${name}`));
    count++;
    if (count === options.limit) break;
  }
  if (count === 0) throw fail(errors.noRecords(spec, "gives no records", example));
  const labels = columns.get("label")!;
  if (labels.length > 0 && labels.length < count) {
    throw fail(errors.labelCount(spec, labels.length, count));
  }
  const arrays = ports.map((port): [string, StoredArray] => {
    const values = columns.get(port.name)!;
    return [
      port.name,
      stack(values, inputShape(port, values[0], context), `${spec}, ${port.name}`),
    ];
  });
  if (labels.length) arrays.push(["label", stack(labels, labels[0].shape, `${spec}, label`)]);
  return arrayDataset(new Map(arrays), context, true);
}

function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== "object" || value === null) return false;
  return Symbol.asyncIterator in value || Symbol.iterator in value;
}

/** The inputs and the label of a record, by name. */
function fieldsOf(record: unknown, ports: readonly Port[], where: string): [string, unknown][] {
  const { inputs, label } = (record ?? {}) as { inputs?: Record<string, unknown>; label?: unknown };
  const fields = ports.map(({ name }): [string, unknown] => [name, inputs?.[name]]);
  const missing = ports.find((_, i) => fields[i][1] === undefined);
  if (missing) {
    const why = `has no inputs.${missing.name}`;
    const remedy = ports.length > 1 ? `${example}${orFed(missing)}` : example;
    throw fail(errors.wrongInput(where, why, describePorts(ports), remedy));
  }
  return label === undefined || label === null ? fields : [...fields, ["label", label]];
}

/** A number, a typed array, nested arrays or a Tensor as numbers. */
function valuesOf(value: unknown, where: string): Values {
  if (value instanceof Tensor) {
    return { values: Float64Array.from(value.numbers()), shape: value.shape };
  }
  const shape: number[] = [];
  for (let inner = value; isList(inner); inner = inner[0]) shape.push(inner.length);
  const flat = isList(value) ? Array.from(value).flat(Infinity) : [value];
  const values = Float64Array.from(flat, (item) =>
    typeof item === "number" || typeof item === "bigint" || typeof item === "boolean"
      ? Number(item)
      : Number.NaN,
  );
  if (values.length === product(shape)) {
    const wrong = values.findIndex(Number.isNaN);
    if (wrong < 0 || Number.isNaN(flat[wrong])) return { values, shape };
  }
  const remedy = "Give a number, a typed array, nested arrays of numbers, or a Tensor";
  throw fail(errors.badData(where, "is not an array of numbers", remedy));
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/**
 * The shape of a record's input. A flat list takes the axes of the port; a nested one
 * has its own shape.
 */
function inputShape(port: Port, { values, shape }: Values, context: ReadContext) {
  const nested = shape.length > 1 || shape.length === port.dims.length - 1;
  return nested ? shape : recordShape(port, values.length, context);
}

/** All records in one array, which must have the same size. */
function stack(records: readonly Values[], shape: readonly number[], where: string): StoredArray {
  const size = records[0].values.length;
  const all = new Float64Array(records.length * size);
  records.forEach(({ values }, i) => {
    if (values.length !== size) {
      const why = `has ${values.length} values in record ${i} and ${size} in the first`;
      throw fail(errors.badData(where, why, "Give every record the same shape"));
    }
    all.set(values, i * size);
  });
  return stored(tensor("float64", [records.length, ...shape], all));
}
