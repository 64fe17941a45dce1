/** @file JSON lines as records: {"label": 1, "input": [[..]]} or {"label": 1, "x": 0.5, "y": 2}. */
import { errors, fail } from "../errors.ts";
import type { Port } from "../runtime/runtime.ts";
import { wantedPorts } from "./array-dataset.ts";
import type { Dataset } from "./dataset.ts";
import { known, type ReadContext } from "./reader.ts";
import { type SequenceSource, sequenceDataset } from "./sequences.ts";
import { tableDataset } from "./table.ts";

/**
 * Reads one JSON object per line. Sequences of different length are padded where the model leaves
 * their length open. Throws TersorError "bad-data" and what tableDataset does.
 */
export async function readJsonl(path: string, context: ReadContext): Promise<Dataset> {
  const text = new TextDecoder().decode(await context.platform.files.read(path));
  const records = text
    .split("\n")
    .map((line, i) => ({ line, where: `${path}:${i + 1}` }))
    .filter(({ line }) => line.trim() !== "")
    .map(({ line, where }) => ({ record: parse(line, where), where }));
  const sequences = sequencesOf(records, context);
  if (sequences) return sequenceDataset(sequences, context);
  const [first] = records.map(({ record }) => flatten(record));
  const columns = first?.map(([name]) => name) ?? [];
  const rows = records.map(({ record, where }) => inOrder(flatten(record), columns, where));
  return tableDataset({ columns, rows }, context);
}

interface Line {
  readonly record: Readonly<Record<string, unknown>>;
  /** The file and the line, for errors. */
  readonly where: string;
}

/**
 * Records as sequences, if some input with an open axis has values of different number in them; else
 * null.
 */
function sequencesOf(lines: readonly Line[], context: ReadContext): SequenceSource | null {
  const ports = wantedPorts(context);
  const sizeOf = (value: unknown) => (Array.isArray(value) ? value.flat(Infinity).length : 1);
  const differs = (name: string) =>
    lines.some(({ record }) => sizeOf(record[name]) !== sizeOf(lines[0].record[name]));
  const isOpen = ({ dims }: Port) => dims.slice(1).some((dim) => known(dim) === undefined);
  if (!ports.some((port) => isOpen(port) && differs(port.name))) return null;
  const valuesOf = ({ record, where }: Line, name: string): number[] => {
    const values = [record[name]].flat(Infinity);
    const wrong = values.find((value) => typeof value !== "number");
    if (wrong === undefined) return values as number[];
    const why = `${name} has ${JSON.stringify(wrong)}, which is no number`;
    throw fail(errors.badData(where, why, "Encode it as numbers first"));
  };
  const all = lines.map((line) => ports.map(({ name }) => valuesOf(line, name)));
  const isLabelled = lines.every(({ record }) => record.label !== undefined);
  const labels = isLabelled ? lines.map((line) => valuesOf(line, "label")) : [];
  const isPerStep = labels.some(({ length }) => length !== 1);
  return {
    length: lines.length,
    classes: null,
    labels: isLabelled && !isPerStep ? Int32Array.from(labels, ([label]) => label) : null,
    targets: isPerStep ? (index) => labels[index] : null,
    ports,
    padding: ports.map(() => 0),
    values: (index) => all[index],
  };
}

function parse(line: string, where: string): Line["record"] {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Line["record"];
    }
  } catch {
    // Reported below, with the same remedy.
  }
  throw fail(errors.badData(where, "is not a JSON object", 'Write {"input": [...], "label": 0}'));
}

/** The values of a record with names: {"x": [[1, 2], [3, 4]]} -> x.0 = 1 ... x.3 = 4, row-major. */
function flatten(record: object): [string, unknown][] {
  return Object.entries(record).flatMap(([key, value]) =>
    Array.isArray(value)
      ? value.flat(Infinity).map((item, i): [string, unknown] => [`${key}.${i}`, item])
      : [[key, value] as [string, unknown]],
  );
}

/** The values of a record in the order of the first record. */
function inOrder(cells: [string, unknown][], columns: readonly string[], where: string): number[] {
  const sameOrder = cells.every(([name], i) => name === columns[i]);
  const byName = sameOrder ? null : new Map(cells);
  if (cells.length !== columns.length || (byName && columns.some((name) => !byName.has(name)))) {
    const why = `has ${cells.length} values, the first record ${columns.length}, or other names`;
    throw fail(errors.badData(where, why, "Give every record the same fields"));
  }
  return columns.map((name, i) => {
    const value = byName ? byName.get(name) : cells[i][1];
    if (typeof value === "number" || typeof value === "boolean") return Number(value);
    const why = `${name} is ${JSON.stringify(value)}, not a number`;
    throw fail(errors.badData(where, why, "Encode it as numbers first"));
  });
}
