/**
 * @file Columns of numbers as arrays by input name: `input.0`, `input.1` ..., or all columns
 * for a single input.
 */
import { errors, fail } from "../errors.ts";
import { tensor } from "../ir/tensor.ts";
import type { Port } from "../runtime/runtime.ts";
import { arrayDataset, type StoredArray, stored, wantedPorts } from "./array-dataset.ts";
import { batchAxes } from "./batch-axes.ts";
import type { Dataset } from "./dataset.ts";
import { feedingOf, orFed } from "./feed.ts";
import { recordDims } from "./layout.ts";
import { describePort, describePorts, known, type ReadContext } from "./reader.ts";

/** Rows of numbers under named columns. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly number[])[];
}

/**
 * The dataset of a table. The columns named after an input fill it; a single input takes all
 * columns. Throws TersorError "no-records" and what arrayDataset does.
 */
export function tableDataset({ columns, rows }: Table, context: ReadContext): Dataset {
  const { spec } = context;
  if (rows.length === 0) throw fail(errors.noRecords(spec, "holds no records", "Add some"));
  const ports = wantedPorts(context);
  const features = columns.flatMap((name, i) => (isLabel(name) ? [] : [i]));
  const arrays = ports.map((port): [string, StoredArray] => {
    const picked = columnsOf(port, columns) ?? (ports.length === 1 ? features : []);
    const shape = [rows.length, ...recordShape(port, picked.length, context)];
    return [port.name, valuesOf(rows, picked, shape)];
  });
  const labels = columns.flatMap((name, i) => (isLabel(name) ? [i] : []));
  const perRecord = columns.includes("label") ? [] : [labels.length];
  const label = valuesOf(rows, labels, [rows.length, ...perRecord]);
  if (labels.length) arrays.push(["label", label]);
  return arrayDataset(new Map(arrays), context, true);
}

/** Whether a column is `label`, or one of `label.0`, `label.1` ... for several target values. */
function isLabel(name: string): boolean {
  return /^label(\.\d+)?$/.test(name);
}

/** The positions of `name`, or of `name.0`, `name.1` ... in order; null where there are none. */
function columnsOf({ name }: Port, columns: readonly string[]): number[] | null {
  const position = new Map(columns.map((column, i) => [column, i]));
  const alone = position.get(name);
  if (alone !== undefined) return [alone];
  const found: number[] = [];
  let at: number | undefined;
  while ((at = position.get(`${name}.${found.length}`)) !== undefined) found.push(at);
  return found.length ? found : null;
}

/**
 * The axes of an input but for that of the records, for records of `count` values. One symbolic axis takes what
 * the others leave. Throws TersorError "wrong-input" or "wrong-shape".
 */
export function recordShape(
  port: Port,
  count: number,
  { spec, ports, options }: ReadContext,
): number[] {
  if (count === 0) {
    const feed = ports.length > 1 ? orFed(port) : "";
    const remedy = `Name the columns ${port.name}.0, ${port.name}.1 ...${feed}`;
    throw fail(
      errors.wrongInput(spec, `has no column for "${port.name}"`, describePorts(ports), remedy),
    );
  }
  const axis = batchAxes(ports, feedingOf(options.input)).get(port.name) ?? null;
  const dims = recordDims(port, axis).map(known);
  const fixed = dims.reduce<number>((product, dim) => product * (dim ?? 1), 1);
  const open = dims.filter((dim) => dim === undefined).length;
  const left = count / fixed;
  if (open > 1 || !Number.isInteger(left) || (open === 0 && left !== 1)) {
    const got = `has ${count} values a record for "${port.name}"`;
    throw fail(errors.wrongShape(spec, got, describePort(port), "Give one value per element"));
  }
  return dims.map((dim) => dim ?? left);
}

/** The picked columns as an array of float64. */
function valuesOf(
  rows: readonly (readonly number[])[],
  picked: readonly number[],
  shape: readonly number[],
): StoredArray {
  const values = new Float64Array(rows.length * picked.length);
  rows.forEach((row, r) => {
    picked.forEach((column, i) => {
      values[r * picked.length + i] = row[column];
    });
  });
  return stored(tensor("float64", shape, values));
}
