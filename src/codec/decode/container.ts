/**
 * @file Decodes a .tersor file into the ONNX file while its bytes arrive.
 *
 * The layout (docs/format.md):
 *
 *   field      type            meaning
 *   magic      4 bytes         "tsr" and the version, 1
 *   size       varint          bytes of the ONNX file
 *   graph      section         the coded graph (decode/graph.ts), with a gap for each tensor
 *   bodies     bytes           one coded tensor for each gap; the graph gives their lengths
 *   checksums  uint32          CRC-32, between these fields after every 64 KiB, and at the end
 */
import { crc32 } from "./crc32.ts";
import { DecodeError } from "./error.ts";
import { type Gap, lengthOf, type Part, readGraph, sizeOf, start } from "./graph.ts";
import { plausible, plausibleTokens } from "./limits.ts";
import { createPredictor } from "./predictor.ts";
import { prime } from "./prime.ts";
import { RangeDecoder } from "./range.ts";
import { decodeTensor } from "./tensor.ts";

/** The first four bytes of a file: "tsr" and the version. */
export const magic = [0x74, 0x73, 0x72, 1] as const;

/** A checksum follows the first field that ends at least this many bytes after the last one. */
export const stretch = 2 ** 16;

/** Gives the next `length` bytes of the file, or as many as are left. */
export type Take = (length: number) => Promise<Uint8Array>;

/** Decodes a tensor's body to its bytes, as `decodeTensor` does. */
export type Decode = (
  body: Uint8Array,
  dtype: string,
  dims: readonly number[],
) => Uint8Array | PromiseLike<Uint8Array>;

/** True for the first bytes of a .tersor file of any version. */
export function isPacked(bytes: Uint8Array): boolean {
  return bytes.length >= magic.length && [0, 1, 2].every((i) => bytes[i] === magic[i]);
}

/**
 * Decodes a whole file to the bytes of an ONNX file, which has the tensors of the model that was
 * packed.
 *
 * Each tensor is decoded as soon as the checksum over its body has arrived. Throws DecodeError for
 * a file that is damaged, cut, or larger than limits.ts allows, and whatever `take` and `decode`
 * throw. `spare` bytes of tensors are allowed beyond those limits: those of a base that `decode` has.
 */
export async function decodeContainer(
  take: Take,
  decode: Decode = decodeTensor,
  spare = 0,
): Promise<Uint8Array<ArrayBuffer>> {
  let read = 0;
  let crc = 0;
  let unchecked = 0;

  /** The next `length` bytes, which count towards the checksum. */
  async function section(length: number): Promise<Uint8Array> {
    const bytes = await take(length);
    read += bytes.length;
    if (bytes.length < length) throw new DecodeError(`the file ends early, after ${read} bytes`);
    crc = crc32(bytes, crc);
    unchecked += length;
    return bytes;
  }

  /** A LEB128 number of at most 49 bits. */
  async function varint(): Promise<number> {
    let value = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const [byte] = await section(1);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new DecodeError("a number is too long");
  }

  /**
   * Compares the checksum, where one is due, with that of the bytes since the last one. No tensor
   * is decoded before the checksum over its body was right.
   */
  async function check(what: string, isLast: boolean): Promise<void> {
    if (unchecked < stretch && !isLast) return;
    const sum = crc;
    const bytes = await section(4);
    const stored = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (stored !== sum) throw new DecodeError(`${what} is damaged (its checksum is wrong)`);
    crc = 0;
    unchecked = 0;
  }

  const head = await section(magic.length);
  if (!isPacked(head)) throw new DecodeError("it does not begin as a .tersor file does");
  if (head[3] !== magic[3]) throw new DecodeError(`it has version ${head[3]}, not ${magic[3]}`);
  const byteLength = await varint();
  const parts = decodeGraph(await section(await varint()), byteLength);
  const gaps = parts.filter((part) => !Array.isArray(part)) as Gap[];
  await check("the graph", gaps.length === 0);

  const tensors = new Map<Gap, Uint8Array>();
  let waiting: { gap: Gap; body: Uint8Array }[] = [];
  let size = 0;
  for (const [i, gap] of gaps.entries()) {
    waiting.push({ gap, body: await section(gap.coded) });
    await check(`tensor ${i + 1} of ${gaps.length} (or one before it)`, i === gaps.length - 1);
    if (unchecked > 0) continue;
    for (const { gap, body } of waiting) {
      size += gap.byteLength;
      if (size > plausible(read) + spare)
        throw new DecodeError(`${body.length} bytes claim to be a tensor of ${gap.byteLength}`);
      tensors.set(gap, await decode(body, gap.dtype, gap.dims));
    }
    waiting = [];
  }
  if ((await take(1)).length > 0) throw new DecodeError("bytes follow its end");
  return assemble(parts, tensors, byteLength);
}

/** Decodes the graph's section into its parts; together they must make `byteLength` bytes. */
function decodeGraph(coded: Uint8Array, byteLength: number): Part[] {
  const place = start();
  const code = createPredictor(place);
  prime(code, place);
  const decoder = new RangeDecoder(coded);
  let left = plausibleTokens(coded.length);
  const next = (): number => {
    if (left-- === 0) throw new DecodeError("the graph is implausibly large");
    return code((p) => decoder.code(p));
  };
  const parts = readGraph(next, place, byteLength);
  if (sizeOf(parts) === byteLength) return parts;
  throw new DecodeError("the graph has not the size of the header");
}

function assemble(
  parts: readonly Part[],
  tensors: ReadonlyMap<Gap, Uint8Array>,
  byteLength: number,
): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(byteLength);
  let at = 0;
  for (const part of parts) {
    file.set(Array.isArray(part) ? part : (tensors.get(part) as Uint8Array), at);
    at += lengthOf(part);
  }
  return file;
}
