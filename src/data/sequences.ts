/**
 * @file Records that are sequences of different length: the shorter ones of a batch are padded at the
 * end, and the batch tells the length of each, from which masks are made.
 */
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import type { Port } from "../runtime/runtime.ts";
import { ignoreIndex } from "../util/ignore-index.ts";
import { product } from "../util/product.ts";
import type { Dataset } from "./dataset.ts";
import { describePort, holds, known, offsetLabels, type ReadContext } from "./reader.ts";

/** The elements of one record, row-major. */
export type Values = ArrayLike<number>;

/** Sequences that a reader has found. */
export interface SequenceSource {
  readonly length: number;
  readonly classes: readonly string[] | null;
  /** The class of each record; null where there is none. */
  readonly labels: Int32Array | null;
  /** A class for each step of a record, such as the next token; null where there is none. */
  readonly targets: ((index: number) => Promise<Values> | Values) | null;
  /** The inputs that records fill. */
  readonly ports: readonly Port[];
  /** The elements of the record, an array for each of the ports. */
  values(index: number): Promise<readonly Values[]> | readonly Values[];
  /** What shorter records are filled up with, for each of the ports. */
  readonly padding: readonly number[];
}

/** Where the steps of a sequence lie in an input. */
interface Place {
  readonly port: Port;
  /** The axes of a record, with the axis of the steps among them. */
  readonly dims: readonly (number | undefined)[];
  readonly axis: number;
  /** Elements of one step. */
  readonly each: number;
  /** The number of steps, where the model fixes it, or where all batches are to have one shape. */
  readonly fixed: number | null;
}

/**
 * The dataset of sequences. Longer ones than the model takes are cut at the end. Throws TersorError
 * "wrong-shape" for an input that has no axis of steps, and "no-records"; reading throws "bad-data"
 * for values that the input's type cannot hold.
 */
export function sequenceDataset(source: SequenceSource, context: ReadContext): Dataset {
  const { spec, options } = context;
  if (source.length === 0) throw fail(errors.noRecords(spec, "holds no records", "Check the file"));
  const places = source.ports.map((port) => placeOf(port, spec));
  const labels = source.labels && offsetLabels(source.labels, options.labelOffset);
  return datasetOf({ ...source, labels }, places, spec);
}

function datasetOf(source: SequenceSource, places: readonly Place[], spec: string): Dataset {
  const { labels, targets } = source;
  const isOpen = places.some(({ fixed }) => fixed === null);
  // Every run of training asks anew, and finding out reads all records.
  let even: Promise<Dataset> | null = null;
  return {
    name: spec,
    length: source.length,
    classes: source.classes,
    labelled: labels !== null || targets !== null,
    labels,
    async read(indices) {
      const records = await Promise.all(indices.map((index) => source.values(index)));
      const steps = places.map((place, i) => records.map((record) => stepsOf(record[i], place)));
      const inputs = places.map((place, i): [string, Tensor] => {
        const all = records.map((record) => record[i]);
        return [place.port.name, padded(all, steps[i], place, source.padding[i], spec)];
      });
      const own = targets && (await Promise.all(indices.map((index) => targets(index))));
      const length = Math.max(...steps[0]);
      const size = places[0].fixed ?? length;
      const label = own
        ? tensor(
            "int64",
            [indices.length, size],
            own.flatMap((row) => fill(row, size, ignoreIndex)),
          )
        : labels &&
          tensor(
            "int64",
            [indices.length],
            Int32Array.from(indices, (i) => labels[i]),
          );
      return {
        inputs: Object.fromEntries(inputs),
        lengths: steps[0],
        label,
        size: indices.length,
      };
    },
    ...(isOpen && {
      even() {
        even ??= withLongest(source, places).then((all) => datasetOf(source, all, spec));
        return even;
      },
    }),
  };
}

/** How many steps of these values are read. */
const stepsOf = (values: Values, { each, fixed }: Place): number =>
  Math.min(Math.ceil(values.length / each), fixed ?? Number.POSITIVE_INFINITY);

/** The places, of which the open ones have as many steps as the longest record. */
async function withLongest(source: SequenceSource, places: readonly Place[]): Promise<Place[]> {
  const longest = places.map(({ fixed }) => fixed ?? 1);
  for (let index = 0; index < source.length; index++) {
    const record = await source.values(index);
    for (const [i, place] of places.entries()) {
      longest[i] = Math.max(longest[i], stepsOf(record[i], place));
    }
  }
  return places.map((place, i) => ({ ...place, fixed: longest[i] }));
}

/** The first `length` values, filled up. */
const fill = (values: Values, length: number, padding: number): number[] =>
  Array.from({ length }, (_, i) => (i < values.length ? values[i] : padding));

/** The axis of the steps: the open one, else the longest; what is before it must be of size 1. */
function placeOf(port: Port, where: string): Place {
  const dims = port.dims.slice(1).map(known);
  const open = dims.indexOf(undefined);
  const axis = open >= 0 ? open : dims.indexOf(Math.max(...dims.map((dim) => dim ?? 0)));
  const others = dims.filter((_, i) => i !== axis);
  if (axis < 0 || others.includes(undefined) || dims.slice(0, axis).some((dim) => dim !== 1)) {
    const got = "a sequence needs one axis of steps";
    throw fail(errors.wrongShape(where, got, describePort(port), "Give the input as npz:"));
  }
  const each = product(others.map((dim) => dim ?? 1));
  return { port, dims, axis, each, fixed: dims[axis] ?? null };
}

/** The records [N, ...] as a tensor, each filled up to the longest, or to what the model fixes. */
function padded(
  records: readonly Values[],
  steps: readonly number[],
  { port, dims, axis, each, fixed }: Place,
  padding: number,
  where: string,
): Tensor {
  const dtype = port.dtype ?? "float32";
  const length = fixed ?? Math.max(...steps);
  const row = length * each;
  const values = new Float64Array(records.length * row).fill(padding);
  for (const [i, record] of records.entries()) {
    for (let k = 0; k < Math.min(record.length, row); k++) values[i * row + k] = record[k];
  }
  const wrong = dtypes[dtype].kind === "int" ? values.findIndex((x) => !holds(dtype, x)) : -1;
  if (wrong >= 0) {
    const why = `"${port.name}" gets ${values[wrong]}, which ${dtype} cannot hold`;
    throw fail(errors.badData(where, why, "Check the model and the data"));
  }
  const shape = dims.map((dim, i) => (i === axis ? length : (dim ?? 1)));
  return tensor(dtype, [records.length, ...shape], values);
}
