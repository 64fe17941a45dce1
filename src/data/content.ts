/** @file Content: a hash of the files behind a data source, by which changed data are noticed. */
import type { Platform } from "../platform.ts";
import { sha256, sha256Text } from "../util/sha256.ts";
import { findReader } from "./open.ts";
import { filesBelow, join, splitPart } from "./reader.ts";

/** Up to so many bytes are read; of more data only names, sizes and times are taken. */
const enough = 2 ** 25;

/** A file of a source: its name below the source's folder, "" for the files that it names itself. */
interface Found {
  readonly name: string;
  readonly path: string;
}

/**
 * SHA-256 of the reader, the part ("train", "test") and all files of the source: of their bytes
 * if these are at most `limit` in all, else of their sizes and times. Null if the source has no
 * files that are there. The imports of a module are not looked at. Throws TersorError
 * "unknown-data".
 */
export async function contentOf(
  spec: string,
  platform: Platform,
  limit = enough,
): Promise<string | null> {
  const { files } = platform;
  const { prefix, part, found } = await filesOfSource(spec, platform);
  const facts = found.map(({ path }) => files.stat(path));
  if (facts.length === 0 || facts.includes(null)) return null;
  const total = facts.reduce((sum, fact) => sum + (fact?.byteLength ?? 0), 0);
  const lines: unknown[] = [prefix, part];
  for (const [i, { name, path }] of found.entries()) {
    const fact = facts[i];
    const what = total <= limit ? await sha256(await files.read(path)) : fact?.modifiedMs;
    lines.push([name, fact?.byteLength, what]);
  }
  return sha256Text(JSON.stringify(lines));
}

/**
 * The files behind a source, its prefix ("module" where there is none), its part and, unless it is one
 * of a few files, its folder. Throws TersorError "unknown-data".
 */
export async function filesOfSource(spec: string, platform: Platform) {
  const { reader, prefix, path } = findReader(spec, platform);
  const listed = reader.files?.(path, platform);
  if (listed !== undefined) {
    const found = (listed ?? []).map((file): Found => ({ name: "", path: file }));
    return { prefix, part: path, found, folder: null };
  }
  const isWhole = platform.files.exists(path);
  const { path: place, part } = isWhole ? { path, part: "" } : splitPart(path);
  const below = await filesBelow(place, platform.files);
  const found = below
    ? below.map((name): Found => ({ name, path: join(place, name) }))
    : [{ name: "", path: place }];
  return { prefix, part, found, folder: below ? place : null };
}
