/**
 * @file Decodes one tensor's body into the tensor's bytes (docs/format-tensors.md).
 *
 * The first byte is 16 * mapping + coder. A mapping says how integers (symbols) become elements, a
 * coder (symbols.ts) how bytes become integers.
 */
import { DecodeError } from "./error.ts";
import { readTable } from "./rans.ts";
import { BitReader, Reader } from "./reader.ts";
import { decodeSymbols } from "./symbols.ts";

/** The tensor's bytes as they are. */
export const RAW = 0;
/** An element is its symbol plus a centre. */
export const INTEGERS = 1;
/** A symbol is an index into a table of elements. */
export const CODEBOOK = 2;
/** float32 only: an element is its symbol times a scale. */
export const GRID = 3;
/** Floats: a symbol holds sign, exponent and first fraction bits; the other bits are plain. */
export const SPLIT = 4;
/** Each byte is a symbol; the bytes of one element make a row. */
export const BYTES = 5;
/** The tensor is cut into parts of equal size, each with a body of its own. */
export const PARTS = 6;
/** Rows or columns that occur more than once are stored once. */
export const COPIES = 7;

/** float32 only: element i is its symbol times scales[floor(i / step) mod lines]. */
export const GRIDS = 8;

/** The tensor differs little from one of a base, which `../load/difference.ts` knows. */
export const DIFFERENCE = 9;

/** The message of a DecodeError where a tensor differs from one of a base, and there is no base. */
export const needsBase = "it is a delta: unpack it with its base (tersor/load)";

/** Elements that may be decoded at once: the working memory is a few dozen bytes for each. */
const MOST = 1 << 21;

/** Bits of one element, from the type's name (float8e4m3fn: 8). Throws DecodeError for strings. */
export function bitsOf(dtype: string): number {
  const bits = dtype === "bool" ? 8 : Number(/\d+/.exec(dtype)?.[0]);
  if (!(bits > 0)) throw new DecodeError(`no coder for elements of type ${dtype}`);
  return bits;
}

/**
 * The dimensions of the parts of a tensor of `size` elements that is cut every `length` elements. A
 * part is [rows, ...] where `length` is a whole number of rows, and flat otherwise.
 */
export function partsOf(dims: readonly number[], size: number, length: number): number[][] {
  const columns = dims[0] ? size / dims[0] : 0;
  const parts: number[][] = [];
  for (let at = 0; at < size; at += length) {
    const count = Math.min(length, size - at);
    parts.push(length % columns ? [count] : [count / columns, ...dims.slice(1)]);
  }
  return parts;
}

/**
 * Decodes one tensor of dimensions `dims` to ONNX raw_data bytes. Terminates on any input. Throws
 * DecodeError where the body does not fit the type and the dimensions.
 */
export function decodeTensor(
  body: Uint8Array,
  dtype: string,
  dims: readonly number[],
): Uint8Array<ArrayBuffer> {
  const size = dims.reduce((product, dim) => product * dim, 1);
  const bits = bitsOf(dtype);
  const byteLength = Math.ceil((size * bits) / 8);
  if (!Number.isSafeInteger(byteLength) || dims.some((dim) => !(dim >= 0))) {
    throw new DecodeError("a length is wrong");
  }
  const reader = new Reader(body);
  const id = reader.byte();
  const mapping = id >> 4;
  if (mapping === RAW) {
    const bytes = reader.take();
    if (bytes.length !== byteLength) throw new DecodeError("a length is wrong");
    return new Uint8Array(bytes);
  }
  if (mapping !== PARTS && size > MOST) throw new DecodeError("a tensor has no parts");
  const out = new Uint8Array(byteLength);
  let at = 0;
  if (mapping === PARTS) {
    for (const [part, partDims] of readParts(reader, dims, size, bits)) {
      const bytes = decodeTensor(part, dtype, partDims);
      out.set(bytes, at);
      at += bytes.length;
    }
  } else if (mapping === SPLIT) joinFloats(id, reader, dims, bits, out);
  else if (mapping === COPIES && bits >= 8) repeatLines(reader, dtype, dims, bits >> 3, out);
  else if (mapping === BYTES) out.set(decodeSymbols(id & 15, reader, [size, bits >> 3]));
  else if (mapping === INTEGERS) {
    const centre = reader.signed();
    const element = (symbol: number) => symbol + centre;
    const symbols = decodeSymbols(id & 15, reader, dims);
    // 8-bit integers are the most common case; without a call for each they are several times
    // faster.
    if (bits === 8) for (let i = 0; i < size; i++) out[i] = symbols[i] + centre;
    else store(out, bits, symbols, bits === 64 ? (symbol) => BigInt(element(symbol)) : element);
  } else if (mapping === CODEBOOK) {
    const zero = reader.varint();
    const table = reader.section();
    const elements = viewOf(new Uint8Array(table), bits);
    const symbols = decodeSymbols(id & 15, reader, dims);
    for (let i = 0; i < size; i++) {
      symbols[i] += zero;
      if (!(symbols[i] >= 0 && symbols[i] < elements.length)) {
        throw new DecodeError("an index has no element");
      }
    }
    if (elements instanceof Int32Array) {
      const words = new Int32Array(out.buffer);
      for (let i = 0; i < size; i++) words[i] = elements[symbols[i]];
    } else store(out, bits, symbols, (index) => elements[index]);
  } else if ((mapping === GRID || mapping === GRIDS) && dtype === "float32") {
    const [step, lines] = mapping === GRID ? [1, 1] : [reader.varint(), reader.varint()];
    const scales = new Float32Array(new Uint8Array(reader.take(4 * lines)).buffer);
    const floats = new Float32Array(out.buffer);
    const symbols = decodeSymbols(id & 15, reader, dims);
    for (let i = 0; i < size; i++) floats[i] = symbols[i] * scales[((i / step) | 0) % lines];
  } else if (mapping === DIFFERENCE) {
    throw new DecodeError(needsBase);
  } else throw new DecodeError(`unknown mapping ${mapping}`);
  return out;
}

/**
 * The bodies of a tensor in parts, with the dimensions of each.
 *
 *   field   type      meaning
 *   length  varint    elements of a part, at least 4096; the last part may be shorter
 *   bodies  sections  a body for each part, which has no parts of its own
 */
export function* readParts(
  reader: Reader,
  dims: readonly number[],
  size: number,
  bits: number,
): Generator<readonly [body: Uint8Array, dims: number[]]> {
  const length = reader.varint();
  if (length < 4096 || (length * bits) % 8) throw new DecodeError("a length is wrong");
  for (const part of partsOf(dims, size, length)) {
    const body = reader.section();
    if (body[0] >> 4 === PARTS) throw new DecodeError("a part has parts");
    yield [body, part];
  }
}

/** `dims` with only `count` rows, or with `count` columns where they are seen as a matrix. */
export function distinctOf(dims: readonly number[], byColumn: boolean, count: number): number[] {
  return byColumn ? [dims[0], count] : [count, ...dims.slice(1)];
}

/**
 * A tensor whose rows or columns (lines) repeat. `width` is the number of bytes of an element.
 *
 *   field      type     meaning
 *   by column  byte     0: lines are rows; otherwise columns
 *   distinct   varint   how many lines the body holds
 *   known      section  table [1, lines]: 0 for the next distinct line, else 1 + its number
 *   body       bytes    the distinct lines
 */
function repeatLines(
  reader: Reader,
  dtype: string,
  dims: readonly number[],
  width: number,
  out: Uint8Array,
): void {
  const byColumn = reader.byte() > 0;
  const distinct = reader.varint();
  const columns = dims[0] ? out.length / width / dims[0] : 0;
  const lines = byColumn ? columns : dims[0];
  if (!(distinct < lines)) throw new DecodeError("a copy has no original");
  const known = readTable(reader.section(), 1, lines);
  const body = reader.take();
  if ((body[0] & 0x60) === 0x60) throw new DecodeError("a part has parts");
  const once = decodeTensor(body, dtype, distinctOf(dims, byColumn, distinct));
  const length = byColumn ? width : columns * width;
  const step = byColumn ? distinct : 1;
  for (let line = 0, next = 0; line < lines; line++) {
    const from = known[line] > 0 ? known[line] - 1 : next++;
    if (known[line] < 0 || from >= distinct) throw new DecodeError("a copy has no original");
    for (let r = 0; r < (byColumn ? dims[0] : 1); r++) {
      const at = (r * step + from) * length;
      out.set(once.subarray(at, at + length), (r * (byColumn ? columns : 1) + line) * length);
    }
  }
}

/** The bits of elements, whatever their type. */
type Words = { readonly length: number; [i: number]: number | bigint };

/** `bytes` as whole elements of 8, 16, 32 or 64 bits; throws DecodeError for a rest. */
function viewOf(bytes: Uint8Array<ArrayBuffer>, bits: number): Words {
  if (bits === 128 || (bytes.length * 8) % bits) throw new DecodeError("a length is wrong");
  if (bits === 16) return new Uint16Array(bytes.buffer);
  if (bits === 32) return new Int32Array(bytes.buffer);
  return bits === 64 ? new BigInt64Array(bytes.buffer) : bytes;
}

/** Writes the low `bits` bits of each element; types below 8 bits are packed low bits first. */
function store(
  out: Uint8Array<ArrayBuffer>,
  bits: number,
  symbols: Int32Array,
  element: (symbol: number) => number | bigint,
): void {
  if (bits < 8) {
    const each = 8 / bits;
    for (let i = 0; i < symbols.length; i++) {
      const value = Number(element(symbols[i])) & ((1 << bits) - 1);
      out[(i / each) | 0] |= value << ((i % each) * bits);
    }
    return;
  }
  const view = viewOf(out, bits);
  for (let i = 0; i < symbols.length; i++) view[i] = element(symbols[i]);
}

/**
 * Floats from a modelled head and plain low bits. The magnitude bits of a float, sign left out, are
 *
 *   head: exponent, first fraction bits | `plain` bits without a model | `dropped` zero bits
 *
 * The symbol is +-(top + 1 - head), the sign being that of the float; 0 stands for +0.
 *
 *   field    type     meaning
 *   plain    byte     bits stored without a model
 *   dropped  byte     low bits that are 0 in every element
 *   top      varint   the largest head
 *   rest     section  the plain bits of all elements but +0
 *   symbols  bytes    the coder's
 */
function joinFloats(
  id: number,
  reader: Reader,
  dims: readonly number[],
  bits: number,
  out: Uint8Array<ArrayBuffer>,
): void {
  const plain = reader.byte();
  const dropped = reader.byte();
  const top = reader.varint();
  if ((bits !== 16 && bits !== 32) || plain + dropped >= bits) {
    throw new DecodeError("a float has other bits");
  }
  const rest = new BitReader(reader.section());
  const symbols = decodeSymbols(id & 15, reader, dims);
  const view = viewOf(out, bits);
  for (let i = 0; i < symbols.length; i++) {
    const symbol = symbols[i];
    if (symbol === 0) continue;
    const head = top + 1 - (symbol < 0 ? -symbol : symbol);
    const word = ((head << plain) | rest.take(plain)) << dropped;
    view[i] = word | (symbol < 0 ? 1 << (bits - 1) : 0);
  }
}
