/** @file JSON lines as records: {"label": 1, "input": [[..]]} or {"label": 1, "x": 0.5, "y": 2}. */
import { errors, fail } from "../errors.ts";
import type { Dataset } from "./dataset.ts";
import type { ReadContext } from "./reader.ts";
import { tableDataset } from "./table.ts";

/** Reads one JSON object per line. Throws TersorError "bad-data" and what tableDataset does. */
export async function readJsonl(path: string, context: ReadContext): Promise<Dataset> {
  const text = new TextDecoder().decode(await context.platform.files.read(path));
  let columns: string[] = [];
  const rows: number[][] = [];
  text.split("\n").forEach((line, i) => {
    if (line.trim() === "") return;
    const cells = flatten(parse(line, `${path}:${i + 1}`));
    if (rows.length === 0) columns = cells.map(([name]) => name);
    rows.push(inOrder(cells, columns, `${path}:${i + 1}`));
  });
  return tableDataset({ columns, rows }, context);
}

function parse(line: string, where: string): object {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
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
