/** @file Loads a model (file, URL, bytes or benchmark network) into a graph, with its hash. */
import { isPacked } from "../codec/decode/container.ts";
import { DecodeError } from "../codec/decode/error.ts";
import { needsBase } from "../codec/decode/tensor.ts";
import { unpack } from "../codec/decode/unpack.ts";
import { BaseError } from "../codec/load/difference.ts";
import { unpackOnto } from "../codec/load/unpack.ts";
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import type { ByteSource } from "../ir/tensor.ts";
import { externalOf } from "../measure/pack.ts";
import { makeNet } from "../nets/index.ts";
import { type PackBase, readBase } from "../onnx/pack-base.ts";
import { readDeclared } from "../onnx/read.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { inferModel } from "../ops/infer.ts";
import type { Platform } from "../platform.ts";
import { externalFile, piecesOf, type Source, sourceBytes } from "../runtime/runtime.ts";
import { isAddress, netFile, netIn, pathOf, urlOf } from "../util/address.ts";
import { sha256, sha256Text } from "../util/sha256.ts";

/** A loaded model: the graph that methods work on, and the unchanged file it came from. */
export interface Loaded {
  /** The path as the user wrote it, the last part of a URL's path, or "model.onnx" for bytes. */
  readonly name: string;
  /** The graph with inferred shapes, converted to the one operator set that tersor works with. */
  readonly model: Model;
  /**
   * The unchanged ONNX file with its external data. The original is measured by running this. Only a
   * file that would end the engine's process is written anew.
   */
  readonly source: Source;
  /** Bytes of the ONNX file and its external data. */
  readonly bytes: number;
  /** Bytes of the .tersor file if the model came as one, else null. */
  readonly packed: number | null;
  /** Operator set that the file declares; `model` may be at a newer one. */
  readonly opset: number;
  /**
   * SHA-256 in hex: of the file; with external data, of the concatenated hashes of all files, where
   * that of a file of more than 64 MiB is made in the same way of its pieces of 64 MiB.
   */
  readonly hash: string;
}

/**
 * One of: a path, an http(s) or file URL, `net:` with the name of an untrained benchmark network
 * and its options (net:vgg-small?filters=circ), or the bytes of a model without external data. Files may be ONNX or .tersor.
 */
export type ModelInput = string | URL | Uint8Array;

export interface LoadOptions {
  /** Seed of the initial weights of a benchmark network (default 1). */
  readonly seed?: number | undefined;
}

/**
 * Reads a model. Throws TersorError "no-such-file", "cannot-read" (a download failed),
 * "unknown-net", "unknown-option", "bad-option", "bad-packed", and whatever `readModel` throws for a file that is no valid model.
 */
export async function loadModel(
  input: ModelInput,
  platform: Platform,
  { seed = 1 }: LoadOptions = {},
): Promise<Loaded> {
  if (input instanceof Uint8Array) return loadBytes(input, "model.onnx", null);
  const net = netIn(String(input));
  if (net !== null) return loadBytes(concat(writeModel(makeNet(net, seed))), netFile(net), null);
  if (typeof input === "string" && !isAddress(input)) {
    return loadBytes(await platform.files.read(input), input, platform.files);
  }
  const url = typeof input === "string" ? urlOf(input) : input;
  if (url && url.protocol !== "file:") {
    return loadBytes(await download(url), url.pathname.split("/").at(-1) || url.host, null);
  }
  const path = url && pathOf(url);
  if (path === null) throw fail(errors.cannotRead(String(input), "it is no valid address"));
  return loadBytes(await platform.files.read(path), path, platform.files);
}

/** Reads a model whose files are in memory: the `source` of a `Loaded`. Throws what `loadModel` throws. */
export function loadSource({ bytes, external = [] }: Source, name: string): Promise<Loaded> {
  const data = new Map(external.map((file) => [file.path, file.data]));
  const sourceOf = (path: string): ByteSource => {
    const own = data.get(path) as Uint8Array;
    return {
      byteLength: own.byteLength,
      read: (offset, length) => own.subarray(offset, offset + length),
    };
  };
  const files = {
    exists: (path: string) => data.has(path),
    source: sourceOf,
    isBeside: () => true,
  };
  return loadBytes(bytes, name, files, "");
}

/** External data are looked for beside the file; without `files` they are an error. */
async function loadBytes(
  file: Uint8Array,
  name: string,
  files: Pick<Platform["files"], "exists" | "source" | "isBeside"> | null,
  folder = name.replace(/[^/\\]*$/, ""),
): Promise<Loaded> {
  const packed = isPacked(file) ? file.byteLength : null;
  const bytes = packed === null ? file : await unpacked(file, name);
  const opened = new Map<string, ByteSource>();
  const { model, opset, namesLeftOut } = readDeclared(bytes, {
    name,
    external(relative) {
      if (!files?.exists(folder + relative)) {
        throw fail(errors.missingExternal(name, relative));
      }
      if (!files.isBeside(folder + relative, name)) {
        throw fail(errors.externalOutside(name, relative));
      }
      // Each file is opened once, however many tensors are in it.
      const source = opened.get(relative) ?? files.source(folder + relative);
      opened.set(relative, source);
      return source;
    },
  });
  inferModel(model);
  const external = [...opened].map(([path, source]) => externalFile(path, source));
  // ONNX Runtime ends the process on a LayerNormalization whose bias is named and left out.
  const own = namesLeftOut && external.length === 0 ? concat(writeModel(model)) : bytes;
  const source = external.length > 0 ? { bytes, external } : { bytes: own };
  const hashes = [await sha256(file)];
  for (const one of opened.values()) hashes.push(await hashOf(one));
  return {
    name,
    model,
    source,
    bytes: sourceBytes(source),
    packed,
    opset,
    hash: await joined(hashes),
  };
}

/**
 * The ONNX bytes in a .tersor file; those of a delta are made with its base. Throws TersorError
 * "bad-packed" if it is damaged, "needs-base" for a delta without one, "bad-base" for another.
 */
export async function unpacked(
  file: Uint8Array,
  name: string,
  base: Pick<Loaded, "name" | "source"> | null = null,
): Promise<Uint8Array> {
  try {
    return base ? await unpackOnto(file, (await baseFrom(base)).base) : await unpack(file);
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    if (cause.message === needsBase) throw fail(errors.needsBase(name), cause);
    if (cause instanceof BaseError) {
      throw fail(errors.badBase(base?.name ?? name, name, cause.message), cause);
    }
    throw fail(errors.badPacked(name, cause.message), cause);
  }
}

/** The hash of a file; of one in several pieces, that of their concatenated hashes. */
async function hashOf(file: ByteSource): Promise<string> {
  const hashes: string[] = [];
  for (const piece of piecesOf(file, true)) hashes.push(await sha256(piece));
  return joined(hashes);
}

async function download(url: URL): Promise<Uint8Array> {
  let why: string;
  try {
    const response = await fetch(url);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    why = `HTTP ${response.status}`;
  } catch (cause) {
    why = (cause as Error).message;
  }
  throw fail(errors.cannotRead(url.href, why));
}

/** A single hash as it is; several as the hash of their concatenation. */
const joined = (hashes: readonly string[]): Promise<string> | string =>
  hashes.length === 1 ? hashes[0] : sha256Text(hashes.join(""));

/** The tensors of a loaded model, as the base of a delta. */
export function baseFrom({ name, source }: Pick<Loaded, "name" | "source">): Promise<PackBase> {
  return readBase(source.bytes, { where: name, external: externalOf(source) });
}
