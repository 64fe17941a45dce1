/** @file Reads a part of an open file. */
import { readSync } from "node:fs";
import { errors, fail } from "../errors.ts";

/** Bytes that are read at once; the system reads no more than 2 GiB. */
const MOST = 2 ** 30;

/**
 * `length` bytes from `offset` on of the open file, whose `path` messages name, written to `bytes`.
 * Throws TersorError "cannot-read" where it ends before.
 */
export function readPart(
  file: number,
  path: string,
  offset: number,
  length: number,
  bytes: Uint8Array = new Uint8Array(length),
): Uint8Array {
  for (let done = 0; done < length; ) {
    const count = readSync(file, bytes, done, Math.min(length - done, MOST), offset + done);
    if (count === 0) throw fail(errors.cannotRead(path, "it became shorter"));
    done += count;
  }
  return bytes;
}
