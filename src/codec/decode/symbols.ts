/** @file The coders of integer tensors, by number; and prediction in front of any of them. */
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
/** Added to a coder's number: what is coded are differences from a prediction. */
export const PREDICTED = 8;

const coders: ((reader: Reader, shape: Shape) => Int32Array)[] = [];

/** Smallest value | bits of each | the values less the smallest. */
coders[PACKED] = (reader, { size }) => {
  const least = reader.signed();
  const width = reader.byte();
  if (width > 32) throw new DecodeError("packed numbers are too wide");
  const bits = new BitReader(reader.take());
  const out = new Int32Array(size);
  for (let i = 0; i < size; i++) out[i] = least + bits.take(width);
  return out;
};

/** Code lengths | codes and plain bits of long tokens in one stream. */
coders[HUFFMAN] = (reader, { size }) => {
  const lengths = readTable(reader.section(), 1, tokens(reader.byte()));
  const bits = new BitReader(reader.take());
  const next = huffmanDecoder(lengths, bits);
  const out = new Int32Array(size);
  for (let i = 0; i < size; i++) out[i] = fromToken(next(), bits);
  return out;
};

/**
 * Deep Compression (Han et al. 2016, arXiv 1510.00149): entries (gap, value), both in Huffman codes.
 * A gap g < 2^b - 1 skips g zeros; gap 2^b - 1 with value 0 is a filler that skips 2^b - 1 and goes on.
 */
coders[GAPS] = (reader, { size }) => {
  const reach = 2 ** reader.byte() - 1;
  const entries = reader.varint();
  if (reach < 1 || reach > 255 || entries > size) throw new DecodeError("too many entries");
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

/** CoderOptions | range-coded bits. */
coders[CONTEXT] = (reader, shape) => {
  const options = readOptions(reader);
  const { lag, first, most } = options;
  if (!(lag > 0 && lag <= shape.size && first <= most && most <= MAX_CLASS)) {
    throw new DecodeError("the options are out of range");
  }
  const out = new Int32Array(shape.size);
  codeByContext(new RangeDecoder(reader.take()), out, shape, options);
  return out;
};

/** Lag; if the other options are not the usual ones, before it: 0 | 8 least + low | 16 (most - least) + first - least. */
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

function tokens(count: number): number {
  if (count > TOKENS) throw new DecodeError("the alphabet is too large");
  return count;
}

/** Integers of `dims`, by the coder `id`. Prediction: sets (1 or the kernel's places) | coefficients. */
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
