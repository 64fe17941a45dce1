/**
 * @file Reads zip archives without unpacking them (APPNOTE.TXT 6.3, with zip64): the directory is
 * read at once, entries when they are needed.
 */
import { inflateSync } from "fflate";
import { crc32 } from "../codec/decode/crc32.ts";
import { errors, fail } from "../errors.ts";
import type { ByteSource } from "../ir/tensor.ts";

/** A file in an archive. */
export interface ZipEntry {
  readonly name: string;
  readonly byteLength: number;
  /** The entry's bytes, inflated and with the checksum verified. */
  read(): Uint8Array;
  /**
   * The entry's bytes with random access. An entry that is stored without compression
   * stays in the file.
   */
  source(): ByteSource;
}

const endSignature = 0x06054b50;
const endBytes = 22;
const longest = 0xffff; // the longest comment, which may follow the end record
const unknown32 = 0xffffffff; // stands for a number that is in the zip64 record
/**
 * The strongest compression that deflate can reach (RFC 1951: 258 bytes for 2 bits). An entry that
 * claims more is forged.
 */
const maxRatio = 1032;

/** The files in the archive by name. Throws TersorError "bad-data" at `where`. */
export function openZip(archive: ByteSource, where: string): Map<string, ZipEntry> {
  const bad = (why: string) => fail(errors.badData(where, why));
  const { offset, size, count } = findDirectory(archive, bad);
  if (offset + size > archive.byteLength) throw bad("is not a complete zip archive");
  const directory = archive.read(offset, size);
  const view = viewOf(directory);
  const entries = new Map<string, ZipEntry>();
  for (let at = 0, i = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== 0x02014b50) {
      throw bad(`has a damaged directory at entry ${i}`);
    }
    const lengths = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const end = at + 46 + lengths[0] + lengths[1] + lengths[2];
    if (end > size) throw bad(`has a damaged directory at entry ${i}`);
    const name = new TextDecoder().decode(directory.subarray(at + 46, at + 46 + lengths[0]));
    const extra = new DataView(view.buffer, view.byteOffset + at + 46 + lengths[0], lengths[1]);
    const [inflated, packed, header] = zip64(
      extra,
      [24, 20, 42].map((f) => view.getUint32(at + f, true)),
    );
    const flags = view.getUint16(at + 8, true);
    const record = {
      name,
      flags,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed,
      inflated,
      header,
    };
    if (!name.endsWith("/")) entries.set(name, entryOf(archive, record, `${where}/${name}`));
    at = end;
  }
  return entries;
}

/** A part of a source as a source. */
export function window(source: ByteSource, start: number, byteLength: number): ByteSource {
  return { byteLength, read: (offset, length) => source.read(start + offset, length) };
}

export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    byteLength: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/** An entry of the directory; `header` is the position of its local header. */
interface EntryRecord {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly inflated: number;
  readonly header: number;
}

/**
 * The entry of a directory record. Its data is found through the local header, when it is first
 * needed.
 */
function entryOf(archive: ByteSource, record: EntryRecord, where: string): ZipEntry {
  const { name, flags, method, crc, packed, inflated, header } = record;
  const content = (): ByteSource => {
    if (flags & 1) throw fail(errors.badData(where, "is encrypted", "Write it without a password"));
    if (method !== 0 && method !== 8) {
      throw fail(errors.badData(where, `uses zip method ${method}`, "Use store or deflate"));
    }
    if (method === 0 ? packed !== inflated : inflated > packed * maxRatio) {
      throw fail(errors.badData(where, `claims ${inflated} bytes in ${packed}`));
    }
    if (header + 30 > archive.byteLength) throw fail(errors.badData(where, "is cut short"));
    const local = viewOf(archive.read(header, 30));
    const start = header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    if (local.getUint32(0, true) !== 0x04034b50 || start + packed > archive.byteLength) {
      throw fail(errors.badData(where, "is cut short"));
    }
    return window(archive, start, packed);
  };
  const read = (): Uint8Array => {
    const source = content();
    const bytes = source.read(0, packed);
    const out = method === 0 ? bytes : inflate(bytes, inflated, where);
    if (crc32(out) !== crc) throw fail(errors.badData(where, "fails its checksum"));
    return out;
  };
  const source = () => (method === 0 ? content() : memorySource(read()));
  return { name, byteLength: inflated, read, source };
}

function inflate(bytes: Uint8Array, length: number, where: string): Uint8Array {
  try {
    return inflateSync(bytes, { out: new Uint8Array(length) });
  } catch (cause) {
    throw fail(errors.badData(where, "does not inflate"), cause);
  }
}

/**
 * Finds the directory through the end record, which is searched backwards, or the zip64 record
 * before it.
 */
function findDirectory(archive: ByteSource, bad: (why: string) => Error) {
  const length = Math.min(archive.byteLength, endBytes + longest);
  const start = archive.byteLength - length;
  const view = viewOf(archive.read(start, length));
  let end = length - endBytes;
  while (end >= 0 && view.getUint32(end, true) !== endSignature) end--;
  if (end < 0) throw bad("is not a complete zip archive");
  const found = {
    count: view.getUint16(end + 10, true),
    size: view.getUint32(end + 12, true),
    offset: view.getUint32(end + 16, true),
  };
  if (found.count !== 0xffff && found.size !== unknown32 && found.offset !== unknown32)
    return found;
  if (end < 20 || view.getUint32(end - 20, true) !== 0x07064b50) return found;
  const at = Number(view.getBigUint64(end - 12, true));
  if (at + 56 > archive.byteLength) throw bad("is not a complete zip archive");
  const wide = viewOf(archive.read(at, 56));
  if (wide.getUint32(0, true) !== 0x06064b50) throw bad("has a damaged zip64 record");
  const [count, size, offset] = [32, 40, 48].map((field) => Number(wide.getBigUint64(field, true)));
  return { count, size, offset };
}

/** Replaces 32-bit fields that refer to the extra field by its 64-bit ones, in fixed order. */
function zip64(extra: DataView, fields: number[]): number[] {
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const end = at + 4 + extra.getUint16(at + 2, true);
    if (extra.getUint16(at, true) === 1) {
      let next = at + 4;
      return fields.map((value) => {
        if (value !== unknown32 || next + 8 > Math.min(end, extra.byteLength)) return value;
        next += 8;
        return Number(extra.getBigUint64(next - 8, true));
      });
    }
    at = end;
  }
  return fields;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
