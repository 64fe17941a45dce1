/** @file Taught: a teacher's scores by the record that they are of, kept for later runs. */
import type { Cache } from "../platform.ts";
import type { Feeds } from "../runtime/runtime.ts";
import { sha256 } from "../util/sha256.ts";

/** Scores are kept up to this many bytes. */
const memory = 2 ** 28;
/** Length of a record's key: the first half of its SHA-256 in hexadecimal. */
const keyLength = 32;

/** The scores of one teacher. */
export interface Taught {
  /** The scores of the record of this key; undefined if the teacher was not asked yet. */
  get(key: string): Float32Array | undefined;
  set(key: string, scores: Float32Array): void;
  /** Writes what was added to the cache. */
  save(): Promise<void>;
}

/**
 * The keys of the records in a batch: hashes of what the teacher sees. So records that are read in
 * another way, from other files or by other preprocessing, have other keys.
 */
export function keysOf(inputs: Feeds, records: number): Promise<string[]> {
  const parts = Object.values(inputs).map((tensor) => {
    const bytes = tensor.bytes();
    const about = new TextEncoder().encode(`${tensor.dtype}${tensor.shape.slice(1)};`);
    return { bytes, about, length: bytes.length / records };
  });
  const size = parts.reduce((sum, { about, length }) => sum + about.length + length, 0);
  return Promise.all(
    Array.from({ length: records }, async (_, i) => {
      const all = new Uint8Array(size);
      let at = 0;
      for (const { bytes, about, length } of parts) {
        all.set(about, at);
        all.set(bytes.subarray(i * length, (i + 1) * length), at + about.length);
        at += about.length + length;
      }
      return (await sha256(all)).slice(0, keyLength);
    }),
  );
}

/**
 * The scores that `cache` has of the teacher with these `bytes`, and those to come. The file holds
 * rows of one length: the key as text, then its scores, float32.
 */
export async function openTaught(teacher: Uint8Array, cache: Cache | undefined): Promise<Taught> {
  const known = new Map<string, Float32Array>();
  const name = cache ? `taught-${(await sha256(teacher)).slice(0, keyLength)}` : "";
  const saved = (await cache?.load(name)) ?? new Uint8Array(0);
  const size =
    saved.length >= 4 ? new DataView(saved.buffer, saved.byteOffset).getUint32(0, true) : 0;
  const row = keyLength + 4 * size;
  for (let at = 4; size > 0 && at + row <= saved.length; at += row) {
    const key = new TextDecoder().decode(saved.subarray(at, at + keyLength));
    known.set(
      key,
      new Float32Array(new Uint8Array(saved.subarray(at + keyLength, at + row)).buffer),
    );
  }
  let room = memory - saved.length;
  let isNew = false;
  return {
    get: (key) => known.get(key),
    set(key, scores) {
      if (room <= 0 || known.has(key)) return;
      known.set(key, scores);
      room -= scores.byteLength;
      isNew = true;
    },
    async save() {
      if (isNew) await cache?.save(name, bytesOf(known));
      isNew = false;
    },
  };
}

function bytesOf(known: ReadonlyMap<string, Float32Array>): Uint8Array {
  const size = Math.max(0, ...Array.from(known.values(), ({ length }) => length));
  const rows = [...known].filter(([, { length }]) => length === size);
  const length = keyLength + 4 * size;
  const bytes = new Uint8Array(4 + rows.length * length);
  new DataView(bytes.buffer).setUint32(0, size, true);
  for (const [i, [key, scores]] of rows.entries()) {
    bytes.set(new TextEncoder().encode(key), 4 + i * length);
    const own = new Uint8Array(scores.buffer, scores.byteOffset, scores.byteLength);
    bytes.set(own, 4 + i * length + keyLength);
  }
  return bytes;
}
