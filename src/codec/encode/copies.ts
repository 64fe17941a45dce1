/**
 * @file Finds rows or columns that a tensor repeats. Embeddings have them: tokens that never
 * occurred in training often have equal rows.
 */

/** The lines (rows or columns) of a matrix without copies. */
export interface Lines {
  /** For each line 0 if it is a new one, else 1 + the number of the distinct line it equals. */
  readonly known: Int32Array;
  readonly distinct: number;
  /** The distinct lines, in the order of the tensor. */
  readonly bytes: Uint8Array;
}

/** Copies are removed if at least this share of the lines are copies. */
const LEAST = 0.1;
/**
 * The share that is needed if most copies are lines of zeros, because the coders store these
 * in few bytes anyway.
 */
const MANY = 0.3;

/**
 * The distinct lines of a matrix, or null where too few lines are copies to pay: less than
 * LEAST, or less than MANY if only lines of zeros bring it there. `raw` holds `rows` rows of
 * elements of `width` bytes.
 */
export function findCopies(
  raw: Uint8Array,
  rows: number,
  width: number,
  byColumn: boolean,
): Lines | null {
  const lines = byColumn ? raw.length / width / rows : rows;
  const length = raw.length / lines;
  if (lines < 4 || length < 8) return null;
  const matrix = byColumn ? transpose(raw, rows, lines, width) : raw;
  const known = new Int32Array(lines);
  const news: number[] = [];
  const byHash = new Map<number, number[]>();
  const isEqual = (a: number, b: number) => {
    for (let i = 0; i < length; i++) {
      if (matrix[a * length + i] !== matrix[b * length + i]) return false;
    }
    return true;
  };
  for (let line = 0; line < lines; line++) {
    let hash = 0;
    for (let i = line * length; i < (line + 1) * length; i++) {
      hash = (Math.imul(hash, 16777619) ^ matrix[i]) | 0; // FNV-1
    }
    const same = byHash.get(hash) ?? [];
    const at = same.find((n) => isEqual(news[n], line));
    if (at !== undefined) known[line] = at + 1;
    else {
      byHash.set(hash, [...same, news.length]);
      news.push(line);
    }
  }
  const distinct = news.length;
  const copies = lines - distinct;
  if (copies < lines * LEAST) return null;
  const isEmpty = news.map((line) =>
    matrix.subarray(line * length, (line + 1) * length).every((byte) => byte === 0),
  );
  const zeros = known.filter((at) => at > 0 && isEmpty[at - 1]).length;
  if (copies - zeros < lines * LEAST && copies < lines * MANY) return null;
  const once = new Uint8Array(distinct * length);
  news.forEach((line, n) => {
    once.set(matrix.subarray(line * length, (line + 1) * length), n * length);
  });
  return { known, distinct, bytes: byColumn ? transpose(once, distinct, rows, width) : once };
}

/** [rows, columns] elements of `width` bytes -> [columns, rows]. */
function transpose(raw: Uint8Array, rows: number, columns: number, width: number): Uint8Array {
  const out = new Uint8Array(raw.length);
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      for (let b = 0; b < width; b++) out[(c * rows + r) * width + b] = raw[at++];
    }
  }
  return out;
}
