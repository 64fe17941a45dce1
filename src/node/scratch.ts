/** @file Scratch of Node: a file that no folder names, which the system frees when the process ends. */
import { randomUUID } from "node:crypto";
import { openSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteSource } from "../ir/tensor.ts";
import type { Scratch } from "../platform.ts";
import { readPart } from "./read-part.ts";

/** Null where the system does not let an open file be unlinked, or the folder cannot be written. */
export function openScratch(): Scratch | null {
  const path = join(tmpdir(), `tersor-${randomUUID()}`);
  let file: number;
  try {
    file = openSync(path, "wx+", 0o600);
    unlinkSync(path);
  } catch {
    return null;
  }
  let end = 0;
  return {
    keep(bytes): ByteSource {
      const start = end;
      end += bytes.byteLength;
      for (let done = 0; done < bytes.byteLength; ) {
        done += writeSync(file, bytes, done, bytes.byteLength - done, start + done);
      }
      return {
        byteLength: bytes.byteLength,
        read: (offset, length, into) => readPart(file, path, start + offset, length, into),
      };
    },
  };
}
