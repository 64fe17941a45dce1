/** @file Mutated ONNX and .tersor files: what seeds there are, how they are changed, what is tried. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { TersorError } from "../../src/errors.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import { packModel } from "../../src/onnx/pack.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inspect } from "../../src/recipe/inspect.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { simplify } from "../../src/recipe/trial.ts";
import { quickPlatform } from "../support/quick-platform.ts";

/** Longest time of one file, in ms, and most memory beside ten times the file. */
export const limits = { ms: 2000, bytes: 64 * 2 ** 20 };

/** The models of the rewriting tests, which have most operators; as ONNX, some also packed. */
export function fuzzSeeds(folder: string | URL = fixtures): Uint8Array[] {
  const path = typeof folder === "string" ? folder : fileURLToPath(folder);
  const texts = readdirSync(path).map((file) => readFileSync(path + file, "utf8"));
  const models = texts.map((text) => parseModel(text.split(/^@@@\n/m)[0]));
  const files = models.map((model) => concat(writeModel(model)));
  return [...files, ...files.slice(0, 10).map((bytes) => packModel(bytes).bytes)];
}

const fixtures = new URL("../rewrite/fixtures/", import.meta.url);

/** Names that plain objects have, of the same lengths as operators and attributes. */
const names = ["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty"];
const texts = names.map((name) => new TextEncoder().encode(name));
/** Numbers at which sizes and shifts go wrong, as protobuf's varints. */
const varints = [0, 1, 127, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 33, 2 ** 53, 2 ** 62].map(varint);
const minusOne = Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 255, 1);

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.of(...bytes, Number(rest));
}

/** A file with one to four changes; a packed one with the checksum that belongs to it. */
export function mutate(seed: Uint8Array, random: Random): Uint8Array {
  let bytes = seed;
  for (let count = 1 + random.int(4); count > 0; count--) bytes = change(bytes, random);
  const isPacked = bytes[0] === 0x74 && bytes[1] === 0x73 && bytes[2] === 0x72;
  if (!isPacked || bytes.length < 12) return bytes;
  const end = bytes.length - 4;
  new DataView(bytes.buffer).setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** A copy with one change. Lengths of messages around an insertion are put right. */
function change(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.int(bytes.length);
  const copy = bytes.slice();
  switch (random.int(6)) {
    case 0:
      copy[at] = random.int(256);
      return copy;
    case 1:
      copy[at] ^= 1 << random.int(8);
      return copy;
    case 2: // a name over another
      copy.set(texts[random.int(texts.length)].subarray(0, bytes.length - at), at);
      return copy;
    case 3: // eight bytes of raw_data: an int64 far away
      if (at + 8 < bytes.length) {
        new DataView(copy.buffer).setBigInt64(at, 1n << BigInt(random.int(64)), true);
      }
      return copy;
    case 4: // a part of the file twice, or not at all
      return spliced(bytes, at, random.int(8), bytes.slice(at, at + random.int(32)));
    default: {
      const number = random.int(4) === 0 ? minusOne : varints[random.int(varints.length)];
      return grown(bytes, at, number);
    }
  }
}

function spliced(bytes: Uint8Array, at: number, skip: number, by: Uint8Array): Uint8Array {
  const end = Math.min(bytes.length, at + skip);
  const copy = new Uint8Array(bytes.length - (end - at) + by.length);
  copy.set(bytes.subarray(0, at));
  copy.set(by, at);
  copy.set(bytes.subarray(end), at + by.length);
  return copy;
}

/** The file with the byte at `at` replaced by a longer number, and the lengths around it grown. */
function grown(bytes: Uint8Array, at: number, by: Uint8Array): Uint8Array {
  const copy = spliced(bytes, at, 1, by);
  // A length of one byte, behind a key, whose message reaches over the place.
  for (let i = 1; i < at; i++) {
    const isLength = (bytes[i - 1] & 7) === 2 && bytes[i] < 128 - by.length;
    if (isLength && i + bytes[i] >= at && bytes[i] > 1) copy[i] += by.length - 1;
  }
  return copy;
}

/**
 * Loads, simplifies and inspects a file. Returns what it came to; throws whatever is no
 * TersorError, for that is a mistake of ours.
 */
export async function attempt(bytes: Uint8Array): Promise<"refused" | "read"> {
  try {
    const loaded = await loadModel(bytes, quickPlatform());
    const simple = simplify(loaded.model);
    await inspect(loaded, null);
    await inspect({ ...loaded, model: simple }, null);
    concat(writeModel(simple));
    return "read";
  } catch (cause) {
    if (cause instanceof TersorError) return "refused";
    throw cause;
  }
}

/** The `index`th mutation of the stream `seed`, which is the same whenever it is asked for. */
export function mutation(files: readonly Uint8Array[], seed: number, index: number): Uint8Array {
  const random = createRandom(seed * 1_000_003 + index);
  return mutate(files[random.int(files.length)], random);
}
