/**
 * @file The coders of integer tensors, by number, and the linear prediction that may
 * precede any of them.
 */
import { type CoderOptions, codeByContext, MAX_CLASS, usual } from "./context.ts";
import { DecodeError } from "./error.ts";
import { huffmanDecoder } from "./huffman.ts";
import { passPrediction, tapsOf } from "./predict.ts";
import { RangeDecoder } from "./range.ts";
import { decodeRans, readTable } from "./rans.ts";
import { BitReader, type Reader } from "./reader.ts";
import { type Shape, shapeOf } from "./shape.ts";
import { fromToken, TOKENS } from "./token.ts";

export const PACKED = 0;
export const HUFFMAN = 1;
export const GAPS = 2;
export const CONTEXT = 3;
export const RANS = 4;
/** A flag beside the coder's number: it codes differences from a prediction (predict.ts). */
export const PREDICTED = 8;

/** By coder number: reads shape.size integers. */
const coders: ((reader: Reader, shape: Shape) => Int32Array)[] = [];

/**
 * Fixed width.
 *
 *   field   type    meaning
 *   least   signed  the smallest value
 *   width   byte    bits of each value, at most 32
 *   values  bits    the values less `least`
 */
coders[PACKED] = (reader, { size }) => {
  const least = reader.signed();
  const width = reader.byte();
  if (width > 32) throw new DecodeError("an option is out of range");
  const bits = new BitReader(reader.take());
  const out = new Int32Array(size);
  for (let i = 0; i < size; i++) out[i] = least + bits.take(width);
  return out;
};

/**
 * Huffman codes of tokens (token.ts).
 *
 *   field     type     meaning
 *   lengths   section  code length of each token, as a table
 *   alphabet  byte     how many tokens have a length
 *   stream    bits     for each integer its code, then the plain bits of a long token
 */
coders[HUFFMAN] = (reader, { size }) => {
  const lengths = readTable(reader.section(), 1, tokens(reader.byte()));
  const bits = new BitReader(reader.take());
  const next = huffmanDecoder(lengths, bits);
  const out = new Int32Array(size);
  for (let i = 0; i < size; i++) out[i] = fromToken(next(), bits);
  return out;
};

/**
 * Deep Compression's sparse coding (Han et al. 2016, arXiv 1510.00149). An entry is a pair (gap,
 * value), both in Huffman codes. A gap g skips g zeros. A run of more than 2^b - 1 zeros contains
 * fillers, which are entries of gap 2^b - 1 and value 0. Zeros after the last entry are not stored.
 *
 *   field       type     meaning
 *   b           byte     bits of a gap
 *   entries     varint   how many entries follow
 *   gapLengths  section  code length of each of the 2^b gaps, as a table
 *   lengths     section  code length of each token, as a table
 *   alphabet    byte     how many tokens have a length
 *   stream      bits     for each entry: code of the gap, code of the token, its plain bits
 */
coders[GAPS] = (reader, { size }) => {
  const reach = 2 ** reader.byte() - 1;
  const entries = reader.varint();
  if (reach < 1 || reach > 255 || entries > size)
    throw new DecodeError("an option is out of range");
  const gapLengths = readTable(reader.section(), 1, reach + 1);
  const lengths = readTable(reader.section(), 1, tokens(reader.byte()));
  const bits = new BitReader(reader.take());
  const nextGap = huffmanDecoder(gapLengths, bits);
  const next = huffmanDecoder(lengths, bits);
  const out = new Int32Array(size);
  for (let n = 0, i = 0; n < entries; n++, i++) {
    i += nextGap();
    if (i >= size) throw new DecodeError("an entry lies outside the tensor");
    out[i] = fromToken(next(), bits);
  }
  return out;
};

/** The context coder (context.ts): its options, then the bytes of the range coder. */
coders[CONTEXT] = (reader, shape) => {
  const options = readOptions(reader);
  const { lag, first, most } = options;
  if (!(lag > 0 && lag <= shape.size && first <= most && most <= MAX_CLASS)) {
    throw new DecodeError("an option is out of range");
  }
  const out = new Int32Array(shape.size);
  codeByContext(new RangeDecoder(reader.take()), out, shape, options);
  return out;
};

/**
 * The options of the context coder. If they are the usual ones, only the lag is stored, which is
 * never 0. Otherwise:
 *
 *   field  type    meaning
 *   0      varint  other options than the usual ones follow
 *   lower  byte    8 least + low
 *   upper  byte    16 (most - least) + first - least
 *   lag    varint  distance of the far neighbour
 */
function readOptions(reader: Reader): CoderOptions {
  const head = reader.varint();
  if (head > 0) return { ...usual, lag: head };
  const lower = reader.byte();
  const upper = reader.byte();
  const lag = reader.varint();
  const least = lower >> 3;
  const most = least + (upper >> 4);
  const first = least + (upper & 15);
  return { lag, least, most, first, low: lower & 7 };
}

coders[RANS] = decodeRans;

/** Checks the size of an alphabet of tokens. */
function tokens(count: number): number {
  if (count > TOKENS) throw new DecodeError("an option is out of range");
  return count;
}

/**
 * Decodes the integers of a tensor of dimensions `dims`; `id` is the coder's number, with or
 * without PREDICTED. Throws DecodeError for an unknown coder, and where a coder does. Predicted
 * integers have two fields before the coder's bytes:
 *
 *   field         type     meaning
 *   by place      byte     0: one set of coefficients; otherwise one for each place in the kernel
 *   coefficients  section  table of [sets, taps], in 1/128
 */
export function decodeSymbols(id: number, reader: Reader, dims: readonly number[]): Int32Array {
  const coder = coders[id & 7];
  if (!coder) throw new DecodeError(`unknown coder ${id}`);
  const shape = shapeOf(dims);
  if (!(id & PREDICTED)) return coder(reader, shape);
  const taps = tapsOf(shape, dims[dims.length - 1] ?? 1);
  const sets = reader.byte() ? shape.kernel : 1;
  const coefficients = readTable(reader.section(), sets, taps.length);
  const values = coder(reader, shape);
  return passPrediction(values, shape, taps, Int8Array.from(coefficients), true);
}
