/**
 * @file Comma-separated values (RFC 4180) as records: a column `label`, all other
 * columns are features.
 */
import { errors, fail } from "../errors.ts";
import type { Dataset } from "./dataset.ts";
import type { ReadContext } from "./reader.ts";
import { tableDataset } from "./table.ts";

/**
 * Reads a file whose first row has the names of the columns. Throws TersorError "bad-data" and what
 * tableDataset does.
 */
export async function readCsv(path: string, context: ReadContext): Promise<Dataset> {
  const text = new TextDecoder().decode(await context.platform.files.read(path));
  const [columns = [], ...lines] = parseCsv(text, path);
  const rows = lines.map((cells, row) =>
    cells.map((cell, i) => {
      const value = cell.trim() === "" ? Number.NaN : Number(cell);
      if (!Number.isNaN(value)) return value;
      const where = `${path}: record ${row + 1}, column ${columns[i]}`;
      throw fail(errors.badData(where, `"${cell}" is not a number`, "Encode it as numbers first"));
    }),
  );
  return tableDataset({ columns, rows }, context);
}

/**
 * The rows of cells, all as long as the first one. Quotes follow RFC 4180; blank lines are dropped.
 * Throws TersorError "bad-data" at `where`.
 */
export function parseCsv(text: string, where: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  // A cell, in quotes or plain, and what ends it.
  const cells = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  cells.lastIndex = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (cells.lastIndex < text.length || row.length > 0) {
    const match = cells.exec(text);
    if (!match) {
      throw fail(
        errors.badData(where, `has a stray quote in row ${rows.length + 1}`, "Quote the cell"),
      );
    }
    row.push(match[1]?.replaceAll('""', '"') ?? match[2]);
    if (match[3] === ",") continue;
    const blank = row.length === 1 && row[0] === "";
    if (!blank && rows.length && row.length !== rows[0].length) {
      const why = `has ${row.length} cells in row ${rows.length + 1} and ${rows[0].length} in the first`;
      throw fail(errors.badData(where, why, "Give every row the same columns"));
    }
    if (!blank) rows.push(row);
    row = [];
  }
  return rows;
}
