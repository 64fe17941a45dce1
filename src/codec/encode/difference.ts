/**
 * @file Codes a tensor by its difference from one of a base: the mirror of load/difference.ts.
 *
 * With the tensor w, the base's tensor b and d = w - b, a float32 matrix is stored either exactly, or
 * within an error budget: where d is quantized, its step in a row (or column) is
 *
 *   s = min(max |w| / 127, sqrt(mean d^2))
 *
 * The first is the step of symmetric int8 weights with a scale per channel, so that no element is
 * further off than there. The second keeps a small d from being rounded away as a whole: its noise
 * s^2 / 12 is at most a twelfth of d's energy. Where a product u v of few columns has no more noise
 * than that, in the sum of squares, and is smaller, it is stored in the place of d: fine-tuning by
 * LoRA (Hu et al. 2021, arXiv 2106.09685) leaves such a d.
 */
import { createRandom } from "../../numeric/random.ts";
import { truncatedSvd } from "../../numeric/randomized-svd.ts";
import { product } from "../../util/product.ts";
import { DIFFERENCE } from "../decode/tensor.ts";
import { addProduct, COPY, flipBits, isFloating, PRODUCT, SUM, WORDS } from "../load/difference.ts";
import { encodeBody } from "./tensor.ts";
import { join, section } from "./writer.ts";

/** A tensor of the base, with its key (load/base.ts). */
export interface BaseTensor {
  readonly key: string;
  readonly dtype: string;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
}

/** The largest rank of a product. */
const MAX_RANK = 64;

/** The body of a tensor that has the bytes of one in the base. */
export const encodeCopy = (base: BaseTensor): Uint8Array => bodyOf(COPY, base);

/**
 * The smallest body of `raw` as a difference from `base`, which has the same type and dimensions.
 * Null where there is none, or where it is no smaller than `limit` bytes. Unless `exact`, matrices
 * of float32 are stored within the budget above; all others keep every bit.
 */
export function encodeDifference(
  base: BaseTensor,
  raw: Uint8Array,
  limit: number,
  exact: boolean,
): Uint8Array | null {
  const { dtype, dims } = base;
  const size = product(dims);
  const matrix = dtype === "float32" && !exact && dims.length > 1 ? floatsOf(base, raw) : null;
  const bodies = matrix ? lossyBodies(base, matrix, size) : [exactBody(base, raw)];
  const found = bodies.filter((body) => body !== null).sort((a, b) => a.length - b.length)[0];
  return found && found.length < limit ? found : null;
}

function bodyOf(kind: number, { key }: BaseTensor, ...rest: readonly Uint8Array[]): Uint8Array {
  const bytes = Uint8Array.from(key.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  return join([DIFFERENCE * 16 + kind], bytes, ...rest);
}

/** The differences of the words; null where they have no words or differ by too much. */
function exactBody(base: BaseTensor, raw: Uint8Array): Uint8Array | null {
  const { dtype, dims, bytes } = base;
  const type = { int8: Int8Array, uint8: Int8Array, bool: Int8Array }[dtype as "int8"];
  const wide = /^(b?float16|u?int16)$/.test(dtype) ? Int16Array : /32$/.test(dtype) && Int32Array;
  const words = type ?? wide;
  if (!words) return null;
  const bits = words.BYTES_PER_ELEMENT * 8;
  const [w, b] = [raw, bytes].map((all) => new words(new Uint8Array(all).buffer));
  const flip = 2 ** flipBits(bits);
  const mask = isFloating(dtype) ? 2 ** (bits - 1) - 1 : -1;
  const d = new Int32Array(w.length);
  for (let i = 0; i < d.length; i++) {
    const change = (w[i] & mask) - (b[i] & mask);
    if (mask === -1) d[i] = change;
    else if (Math.abs(change) >= flip / 2) return null;
    else d[i] = change + ((w[i] ^ b[i]) < 0 ? flip : 0);
  }
  return bodyOf(WORDS, base, encodeBody("int32", dims, new Uint8Array(d.buffer)));
}

/** A matrix, that of the base, and their difference. */
interface Pair {
  readonly w: Float32Array;
  readonly b: Float32Array;
  readonly d: Float32Array;
}

/** Null where a number is not finite. */
function floatsOf({ bytes }: BaseTensor, raw: Uint8Array): Pair | null {
  const [w, b] = [raw, bytes].map((all) => new Float32Array(new Uint8Array(all).buffer));
  const d = w.map((x, i) => x - b[i]);
  return [w, b, d].every((all) => all.every(Number.isFinite)) ? { w, b, d } : null;
}

function lossyBodies(base: BaseTensor, pair: Pair, size: number): (Uint8Array | null)[] {
  const { dims } = base;
  const rows = dims[0];
  const columns = size / rows;
  const grids = (dims.length === 2 ? [false, true] : [false]).map((byColumn) =>
    gridOf(pair, rows, columns, byColumn),
  );
  // Rows and columns are two readings of "channel"; the one with less noise is within both.
  const grid = grids.reduce((a, b) => (b.noise < a.noise ? b : a));
  const body = encodeBody("float32", dims, new Uint8Array(grid.rounded.buffer));
  const sum = bodyOf(SUM, base, body);
  return [sum, productBody(base, pair, rows, columns, grid.noise, body.length)];
}

interface Grid {
  /** d rounded to the steps of its rows or columns. */
  readonly rounded: Float32Array<ArrayBuffer>;
  /** Sum over the elements of s^2 / 12. */
  readonly noise: number;
}

function gridOf({ w, d }: Pair, rows: number, columns: number, byColumn: boolean): Grid {
  const rounded = new Float32Array(d.length);
  const [lines, length] = byColumn ? [columns, rows] : [rows, columns];
  const [next, step] = byColumn ? [1, columns] : [columns, 1];
  let noise = 0;
  for (let line = 0; line < lines; line++) {
    let most = 0;
    let energy = 0;
    for (let n = 0, i = line * next; n < length; n++, i += step) {
      most = Math.max(most, Math.abs(w[i]));
      energy += d[i] * d[i];
    }
    const s = Math.fround(Math.min(most / 127, Math.sqrt(energy / length)));
    noise += (length * s * s) / 12;
    if (s === 0) continue;
    for (let n = 0, i = line * next; n < length; n++, i += step) {
      rounded[i] = roundTo(d[i], s);
    }
  }
  return { rounded, noise };
}

/** The multiple of `step` next to `x`; never -0, which is on no grid. */
const roundTo = (x: number, step: number): number => Math.round(x / step) * step + 0;

/**
 * d as u v, where that leaves a squared error of at most `noise` and may take fewer than `limit`
 * bytes. Half of the error is what the singular values that are dropped leave, half is that of the
 * rounded factors: with u = U sqrt(S) and v = sqrt(S) V^T, rounding column k of u by steps of a adds
 * rows a^2 / 12 s_k, and row k of v likewise.
 */
function productBody(
  base: BaseTensor,
  { w, b, d }: Pair,
  rows: number,
  columns: number,
  noise: number,
  limit: number,
): Uint8Array | null {
  // A factor's element takes about 6 bits.
  const affordable = Math.floor((limit * 8) / (6 * (rows + columns)));
  const most = Math.min(MAX_RANK, affordable, Math.floor((rows * columns) / (rows + columns)));
  if (most < 1) return null;
  const { u, s, v, rank: found } = truncatedSvd(d, rows, columns, most, createRandom(0));
  let left = d.reduce((sum, x) => sum + x * x, 0);
  let rank = 0;
  while (rank < found && left > noise / 2) left -= s[rank++] ** 2;
  if (rank === 0 || left > noise / 2) return null;
  const uRounded = new Float32Array(rows * rank);
  const vRounded = new Float32Array(rank * columns);
  for (let k = 0; k < rank; k++) {
    const root = Math.sqrt(s[k]);
    const share = (12 * noise) / 4 / rank / s[k];
    const [a, c] = [Math.fround(Math.sqrt(share / rows)), Math.fround(Math.sqrt(share / columns))];
    for (let i = 0; i < rows; i++) {
      uRounded[i * rank + k] = roundTo(u[i * found + k] * root, a);
    }
    for (let i = 0; i < columns; i++) {
      vRounded[k * columns + i] = roundTo(v[i * found + k] * root, c);
    }
  }
  const sum = new Float32Array(b);
  addProduct(sum, uRounded, vRounded, rank);
  if (sum.reduce((error, x, i) => error + (x - w[i]) ** 2, 0) > noise) return null;
  const factor = (dims: readonly number[], values: Float32Array<ArrayBuffer>) =>
    encodeBody("float32", dims, new Uint8Array(values.buffer));
  const factors = [section(factor([rows, rank], uRounded)), factor([rank, columns], vRounded)];
  return bodyOf(PRODUCT, base, Uint8Array.of(rank), ...factors);
}
