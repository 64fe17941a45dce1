/**
 * @file Codes a tensor by its difference from one of a base: the mirror of load/difference.ts.
 *
 * With the tensor w, the base's tensor b and d = w - b, a float32 matrix is stored either exactly, or
 * within an error budget: what is left of d after a product u v of few columns is rounded to steps,
 * for each row (or column)
 *
 *   s = min(max |w| / 127, sqrt(mean d^2))
 *
 * The first is the step of symmetric int8 weights with a scale per channel, so that no element is
 * further off than there. The second keeps a small d from being rounded away as a whole: the noise
 * s^2 / 12 is at most a twelfth of d's energy.
 *
 * The product holds the leading singular vectors of d, in fine steps. Fine-tuning by LoRA (Hu et al.
 * 2021, arXiv 2106.09685) changes nothing else, and then nothing is left to round. Other changes have
 * some large singular values, too: those of directions that many inputs share. Rounding errs there
 * in the same direction for all of them, so that outputs are further off than by int8 (on LeNet-5 by
 * a factor of two); the product takes these directions out of what is rounded.
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
  const found = matrix ? lossyBody(base, matrix, size) : exactBody(base, raw);
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

function lossyBody(base: BaseTensor, pair: Pair, size: number): Uint8Array {
  const { dims } = base;
  const rows = dims[0];
  const columns = size / rows;
  const steps = stepsOf(pair, rows, columns, dims.length === 2);
  const factors = factorsOf(pair.d, rows, columns, steps.noise);
  if (!factors) return bodyOf(SUM, base, restBody(pair.d, steps, dims));
  const { u, v, rank } = factors;
  const moved = new Float32Array(pair.b);
  addProduct(moved, u, v, rank, null);
  const rest = pair.w.map((x, i) => x - moved[i]);
  const factor = (dims: readonly number[], values: Float32Array<ArrayBuffer>) =>
    section(encodeBody("float32", dims, new Uint8Array(values.buffer)));
  return bodyOf(
    ...([PRODUCT, base, Uint8Array.of(rank)] as const),
    factor([rows, rank], u),
    factor([rank, columns], v),
    factors.isAll ? new Uint8Array(0) : restBody(rest, steps, dims),
  );
}

/**
 * Matrices of fewer elements take half the step: a bit more for each of few elements. In networks of
 * convolutions these are the first layers, whose errors all others pass on.
 */
const SMALL = 1 << 16;

/** The steps of rows or columns. */
interface Steps {
  readonly byColumn: boolean;
  readonly columns: number;
  readonly steps: Float32Array;
  /** Sum over the elements of s^2 / 12. */
  readonly noise: number;
}

/** Lines of fewer elements are not worth a step of their own where the other lines are longer. */
const LINE = 64;

/** Rows and columns are two readings of "channel"; those with less noise are taken. */
function stepsOf(pair: Pair, rows: number, columns: number, isFlat: boolean): Steps {
  const byRow = stepsAlong(pair, rows, columns, false);
  if (!isFlat || rows < LINE) return byRow;
  const byColumn = stepsAlong(pair, rows, columns, true);
  return columns < LINE || byColumn.noise < byRow.noise ? byColumn : byRow;
}

function stepsAlong({ w, d }: Pair, rows: number, columns: number, byColumn: boolean): Steps {
  const most = new Float64Array(byColumn ? columns : rows);
  const energy = new Float64Array(most.length);
  for (let i = 0; i < d.length; i++) {
    const line = byColumn ? i % columns : Math.floor(i / columns);
    most[line] = Math.max(most[line], Math.abs(w[i]));
    energy[line] += d[i] * d[i];
  }
  const length = d.length / most.length;
  const share = d.length < SMALL ? 0.5 : 1;
  const steps = Float32Array.from(
    most,
    (x, i) => Math.min(x / 127, Math.sqrt(energy[i] / length)) * share,
  );
  const noise = steps.reduce((sum, s) => sum + (length * s * s) / 12, 0);
  return { byColumn, columns, steps, noise };
}

/** The body of `values`, rounded. */
function restBody(
  values: Float32Array,
  { byColumn, columns, steps }: Steps,
  dims: readonly number[],
): Uint8Array {
  const rounded = values.map((x, i) => {
    const s = steps[byColumn ? i % columns : Math.floor(i / columns)];
    return s === 0 ? 0 : roundTo(x, s);
  });
  return encodeBody("float32", dims, new Uint8Array(rounded.buffer));
}

/** The multiple of `step` next to `x`; never -0, which is on no grid. */
const roundTo = (x: number, step: number): number => Math.round(x / step) * step + 0;

interface Factors {
  /** [rows, rank] */
  readonly u: Float32Array<ArrayBuffer>;
  /** [rank, columns] */
  readonly v: Float32Array<ArrayBuffer>;
  readonly rank: number;
  /** Whether nothing is left of d but what is below the noise. */
  readonly isAll: boolean;
}

/** Bits of a factor's element, roughly. */
const FACTOR_BITS = 9;

/**
 * The leading singular vectors of d that are worth their bits, rounded; null where there are none.
 *
 * Column k takes FACTOR_BITS (rows + columns) bits. It saves about size / 2 log2(E / (E - s_k^2)) of
 * those of what is left, whose energy is E, because each element takes log2 of its deviation. Where
 * what remains of d is at most half of `noise`, the columns up to there are all that is stored.
 *
 * With u = U sqrt(S) and v = sqrt(S) V^T, rounding column k of u by steps of a adds rows a^2 / 12 s_k
 * to the squared error, and row k of v likewise. They share a 64th of `noise`: the errors of factors
 * act on the very inputs that d acts on, and so count more than those of single elements.
 */
function factorsOf(d: Float32Array, rows: number, columns: number, noise: number): Factors | null {
  const size = rows * columns;
  const price = FACTOR_BITS * (rows + columns);
  const most = Math.min(
    MAX_RANK,
    Math.floor((3 * size) / price),
    Math.floor(size / (rows + columns)),
  );
  if (most < 1 || noise === 0) return null;
  const { u, s, v, rank: found } = truncatedSvd(d, rows, columns, most, createRandom(0));
  let left = d.reduce((sum, x) => sum + x * x, 0);
  let [worth, rank] = [0, 0];
  while (rank < found && left > noise / 2) {
    const next = Math.max(left - s[rank] ** 2, 0);
    rank++;
    if (isWorth(left / Math.max(next, noise), price, size)) worth = rank;
    left = next;
  }
  const isAll = left <= noise / 2;
  const kept = isAll ? rank : worth;
  if (kept === 0) return null;
  const uRounded = new Float32Array(rows * kept);
  const vRounded = new Float32Array(kept * columns);
  for (let k = 0; k < kept; k++) {
    const root = Math.sqrt(s[k]);
    const share = (12 * noise) / 64 / (2 * kept) / s[k];
    const [a, c] = [Math.sqrt(share / rows), Math.sqrt(share / columns)].map(Math.fround);
    for (let i = 0; i < rows; i++) {
      uRounded[i * kept + k] = roundTo(u[i * found + k] * root, a);
    }
    for (let i = 0; i < columns; i++) {
      vRounded[k * columns + i] = roundTo(v[i * found + k] * root, c);
    }
  }
  return { u: uRounded, v: vRounded, rank: kept, isAll };
}

/**
 * Whether size / 2 log2(ratio) > bits. Math.log2 differs between engines; ln x >= 2 (x - 1) / (x + 1)
 * for x >= 1 is close enough and does not.
 */
const isWorth = (ratio: number, bits: number, size: number): boolean =>
  ((size / 2) * 2 * (ratio - 1)) / (ratio + 1) / Math.LN2 > bits;
