/** @file Damage and forgery of a .tersor file, for a few seconds or for long. */

import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect } from "vitest";
import { plausible } from "../../src/codec/decode/limits.ts";
import { DecodeError, unpack } from "../../src/unpack.ts";

/** What is given damaged files. */
type Unpack = (bytes: Uint8Array) => Promise<Uint8Array>;

/** With the checksum that belongs to it: a small file has one, at its end. */
export function resealed(file: Uint8Array): Uint8Array {
  const copy = file.slice();
  const end = copy.length - 4;
  new DataView(copy.buffer).setUint32(end, crc32(copy.subarray(0, end)), true);
  return copy;
}

/** Every so many bytes, one bit flipped: never unnoticed. */
export async function expectFlipsNoticed(
  packed: Uint8Array,
  step: number,
  open: Unpack = unpack,
): Promise<void> {
  for (let at = 0; at < packed.length; at += at < 32 ? 1 : step) {
    const damaged = packed.slice();
    damaged[at] ^= 1 << (at % 8);
    await expect(open(damaged), `byte ${at}`).rejects.toThrow(DecodeError);
  }
}

export async function expectCutsNoticed(
  packed: Uint8Array,
  step: number,
  open: Unpack = unpack,
): Promise<void> {
  for (let end = 0; end < packed.length; end += end < 32 ? 1 : step) {
    await expect(open(packed.subarray(0, end)), `byte ${end}`).rejects.toThrow(DecodeError);
  }
}

/** Bytes changed, the checksum put right: another model or an error, nothing else. */
export async function expectForgeriesBounded(
  packed: Uint8Array,
  numRuns: number,
  open: Unpack = unpack,
  spare = 0,
): Promise<void> {
  const edit = fc.tuple(fc.nat(packed.length - 5), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
      const forged = packed.slice();
      for (const [at, value] of edits) forged[at] = value;
      const outcome = await open(resealed(forged)).catch((error: unknown) => error);
      if (outcome instanceof Uint8Array) {
        expect(outcome.length).toBeLessThan(plausible(packed.length) + spare);
      } else expect(outcome).toBeInstanceOf(DecodeError);
    }),
    { numRuns },
  );
}
