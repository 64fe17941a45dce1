/**
 * @file Codes an integer tensor by the coder that gives the fewest bytes: the mirror of
 * decode/symbols.ts.
 */
import { codeByContext } from "../decode/context.ts";
import { tapsOf } from "../decode/predict.ts";
import { type Shape, shapeOf } from "../decode/shape.ts";
import { CONTEXT, GAPS, HUFFMAN, PACKED, PREDICTED, RANS } from "../decode/symbols.ts";
import { chooseOptions, writeOptions } from "./coder-options.ts";
import { encodeGaps } from "./gaps.ts";
import { codeLengths, codesOf } from "./huffman.ts";
import { choosePrediction, type Prediction } from "./predict.ts";
import { RangeEncoder } from "./range.ts";
import { encodeRans, writeTable } from "./rans.ts";
import { countTokens, putRest, tokenOf } from "./token.ts";
import { BitWriter, fold, join, section, varint } from "./writer.ts";

/** A coder's number and its bytes. */
export interface Coded {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** By coder number; `width` is the last dimension. */
const encoders: Record<number, (values: Int32Array, shape: Shape, width: number) => Uint8Array> = {
  [PACKED]: encodePacked,
  [HUFFMAN]: encodeHuffman,
  [GAPS]: (values) => encodeGaps(values).bytes,
  [CONTEXT](values, shape, width) {
    const options = chooseOptions(values, shape, width);
    const coder = new RangeEncoder();
    codeByContext(coder, values, shape, options);
    return join(writeOptions(options), coder.finish());
  },
  [RANS]: encodeRans,
};

/** Codes by one coder, whatever the size. `coder` may include PREDICTED. */
export function encodeWith(coder: number, values: Int32Array, dims: readonly number[]): Coded {
  const shape = shapeOf(dims);
  const width = dims[dims.length - 1] ?? 1;
  if (coder & PREDICTED) return encodePredicted(coder, predict(values, dims), dims);
  return { id: coder, bytes: encoders[coder](values, shape, width) };
}

function predict(values: Int32Array, dims: readonly number[]): Prediction {
  const shape = shapeOf(dims);
  return choosePrediction(values, shape, tapsOf(shape, dims[dims.length - 1] ?? 1));
}

/** Codes the differences from a prediction: its coefficients, then the coder's bytes. */
function encodePredicted(
  coder: number,
  { byPlace, coefficients, differences }: Prediction,
  dims: readonly number[],
): Coded {
  const shape = shapeOf(dims);
  const sets = byPlace ? shape.kernel : 1;
  const table = writeTable(coefficients, sets, coefficients.length / sets);
  const coded = encoders[coder & 7](differences, shape, dims[dims.length - 1] ?? 1);
  return { id: coder, bytes: join([byPlace ? 1 : 0], section(table), coded) };
}

/**
 * The number of bits that the context coder would code one by one with its usual options. Decoding
 * time is about proportional to it.
 */
function binaryDecisions(values: Int32Array): number {
  let count = values.length;
  for (const value of values) if (value !== 0) count += 65 - 2 * Math.clz32(Math.abs(value));
  return count;
}

/** Elements of the sample by which tensors of at least twice as many elements are judged. */
const SAMPLE = 1 << 14;

/** Prediction is tried if it should save this many bits for each element. */
const LEAST_GAIN = 0.01;

/**
 * Codes by the coder with the fewest bytes among those that decode fast enough.
 *
 * The context coder takes some 40 ns a decision. It is allowed where an element has few
 * decisions, or where the tensor has few altogether. `beside` is the number of bytes of the body
 * that are not the coder's: where they dominate, a fast coder is preferred. `dims` are the
 * dimensions of `values`.
 */
export function encodeSymbols(values: Int32Array, dims: readonly number[], beside = 0): Coded {
  const { length } = values;
  if (length === 0) return { id: PACKED, bytes: encodePacked(values) };
  const decisions = binaryDecisions(values);
  // For sparse numbers the context coder is always the smallest, and it has few decisions to code.
  if (length >= 512 && decisions > length && decisions < 2.4 * length) {
    return encodeWith(CONTEXT, values, dims);
  }
  if (length < 2 * SAMPLE) {
    return quickestOf(tryAll(values, dims, length, decisions / length), length, beside);
  }
  const columns = length / dims[0];
  const rows = Math.min(dims[0], Math.ceil(SAMPLE / columns));
  const from = (dims[0] - rows) >> 1;
  const part = values.subarray(from * columns, (from + rows) * columns);
  const each = binaryDecisions(part) / part.length;
  const choices = tryAll(part, [rows, ...dims.slice(1)], length, each);
  const best = quickestOf(choices, length, (beside * part.length) / length);
  return encodeWith(best.id, values, dims);
}

/**
 * The codings by all coders that may be the best one for `length` numbers like `values`, which take
 * `decisions` binary decisions each.
 */
function tryAll(
  values: Int32Array,
  dims: readonly number[],
  length: number,
  decisions: number,
): Coded[] {
  const patient = decisions * length <= Math.max(2.4 * length, 600_000);
  const coders = [PACKED, RANS];
  // These two win only where the tables are a large part of the bytes.
  if (length < 4096) coders.push(HUFFMAN);
  if (length < 4 * SAMPLE && decisions < 3) coders.push(GAPS);
  const coded = coders.map((coder) => encodeWith(coder, values, dims));
  // Differences of sparse or coarse numbers are no smaller than the numbers themselves.
  const prediction = decisions > 5 && length >= 256 ? predict(values, dims) : null;
  const predicted = (coder: number): Coded[] =>
    prediction && prediction.gain >= LEAST_GAIN
      ? [encodePredicted(coder | PREDICTED, prediction, dims)]
      : [];
  coded.push(...predicted(RANS));
  if (!patient) return coded;
  // The context coder is the slow one. It uses prediction if the fast coders gained by it.
  const isPredicted = (smallestOf(coded).id & PREDICTED) !== 0;
  return [...coded, ...(isPredicted ? predicted(CONTEXT) : [encodeWith(CONTEXT, values, dims)])];
}

export function smallestOf(choices: readonly Coded[]): Coded {
  return choices.reduce((best, next) => (next.bytes.length < best.bytes.length ? next : best));
}

/**
 * The smallest coding. For 4096 numbers or more it is that of rANS, which decodes ten times faster,
 * where this adds at most 2 % to the body.
 */
function quickestOf(choices: readonly Coded[], length: number, beside: number): Coded {
  const best = smallestOf(choices);
  const most = best.bytes.length + 0.02 * (best.bytes.length + beside);
  const quick = length >= 4096 ? choices.filter(({ id }) => (id & 7) === RANS) : [];
  return quick.length > 0 && smallestOf(quick).bytes.length <= most ? smallestOf(quick) : best;
}

/** Fixed width: the mirror of coders[PACKED] in decode/symbols.ts. */
function encodePacked(values: Int32Array): Uint8Array {
  let least = values[0] ?? 0;
  let most = least;
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const width = most === least ? 0 : 32 - Math.clz32(most - least);
  const bits = new BitWriter();
  if (width > 0) for (const value of values) bits.put(value - least, width);
  return join(varint(fold(least)), [width], bits.finish());
}

/** Huffman codes of tokens: the mirror of coders[HUFFMAN] in decode/symbols.ts. */
function encodeHuffman(values: Int32Array): Uint8Array {
  const tokens = Uint8Array.from(values, tokenOf);
  const lengths = codeLengths(countTokens(tokens));
  const codes = codesOf(lengths);
  const bits = new BitWriter();
  const alone = lengths.filter((length) => length > 0).length === 1;
  for (let i = 0; i < values.length; i++) {
    if (!alone) bits.put(codes[tokens[i]], lengths[tokens[i]]);
    putRest(values[i], bits);
  }
  const table = writeTable(lengths, 1, lengths.length);
  return join(section(table), [lengths.length], bits.finish());
}
