/** @file Node's Platform: files, images, gzip and brotli, clocks, user modules, engines. */
import { closeSync, existsSync, fstatSync, openSync, realpathSync, statSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, availableParallelism, platform as system } from "node:os";
import { dirname, join, sep } from "node:path";
import {
  type BrotliCompress,
  constants,
  createBrotliCompress,
  createGzip,
  type Gzip,
} from "node:zlib";
import { type ErrorInfo, errors, fail, TersorError } from "../errors.ts";
import type { ByteSource } from "../ir/tensor.ts";
import type { FileFacts, Platform } from "../platform.ts";
import { decodeImage } from "./decode-image.ts";
import { startEngineWorker } from "./engine-workers.ts";
import { importModule } from "./import-module.ts";
import { ownProcessor } from "./processor.ts";
import { profileFiles } from "./profile.ts";
import { readPart } from "./read-part.ts";
import { openScratch } from "./scratch.ts";

/** The Platform of Node. */
export const nodePlatform: Platform = {
  name: `node ${process.versions.node} ${system()} ${arch()}`,
  cores: availableParallelism(),
  processor: ownProcessor(),
  scratch: openScratch,
  files: { read, source, isBeside, list, exists: existsSync, stat: factsOf, packaged },
  decodeImage,
  gzipSize: (chunks) => compressedSize(createGzip({ level: 9 }), chunks),
  async brotliSize(chunks) {
    const parts = [...chunks];
    const total = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (total > brotliLimit) return null;
    return compressedSize(createBrotliCompress({ params: brotliParams }), parts);
  },
  wallMs: () => performance.now(),
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  module: importModule,
  async runtime(name) {
    const node = async () => (await import("../runtime/ort-node.ts")).openNodeRuntime(profileFiles);
    const web = async () => (await import("../runtime/ort-web.ts")).openWebRuntime();
    if (name === "web") return { runtime: await web(), warning: null };
    try {
      return { runtime: await node(), warning: null };
    } catch (error) {
      if (name === "node" || !(error instanceof TersorError)) throw error;
      const warning = `${error.message} Using onnxruntime-web, which is slower.`;
      return { runtime: await web(), warning };
    }
  },
  startWorker: ({ name }) => (name === "node" ? startEngineWorker() : null),
};

/** Brotli at quality 11 is slow; for models of more bytes than this its size is not measured. */
const brotliLimit = 24e6;

const brotliParams = {
  [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
  [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
};

/** A view, not a copy, of what Node read: a Uint8Array that is no Buffer. */
async function read(path: string): Promise<Uint8Array> {
  try {
    const { buffer, byteOffset, byteLength } = await readFile(path);
    return new Uint8Array(buffer, byteOffset, byteLength);
  } catch (error) {
    throw fail(fileError(path, error), error);
  }
}

/** Closes a source's file when the source is garbage-collected; a source has no method for it. */
const abandoned = new FinalizationRegistry<number>(closeSync);

/** Opens a file and reads parts of it on demand. Throws "no-such-file" or "cannot-read". */
function source(path: string): ByteSource {
  const { file, byteLength } = open(path);
  const opened: ByteSource = {
    byteLength,
    read: (offset, length, into) => readPart(file, path, offset, length, into),
  };
  abandoned.register(opened, file);
  return opened;
}

function isBeside(path: string, other: string): boolean {
  const real = realpathSync(path);
  const folders = [realpathSync(dirname(other)), dirname(realpathSync(other))];
  return folders.some((folder) => real.startsWith(folder.endsWith(sep) ? folder : folder + sep));
}

function open(path: string): { file: number; byteLength: number } {
  try {
    const file = openSync(path, "r");
    const found = fstatSync(file);
    if (found.isFile()) return { file, byteLength: found.size };
    closeSync(file);
  } catch (error) {
    throw fail(fileError(path, error), error);
  }
  throw fail(errors.cannotRead(path, "it is not a file"));
}

function factsOf(path: string): FileFacts | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() ? { byteLength: found.size, modifiedMs: found.mtimeMs } : null;
}

/** The names in a folder; links to folders count as folders. Null if there is no such folder. */
async function list(path: string): Promise<string[] | null> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    const names = entries.map(async (entry) => {
      const isLink = entry.isSymbolicLink();
      const target = isLink ? await stat(join(path, entry.name)).catch(() => entry) : entry;
      return target.isDirectory() ? `${entry.name}/` : entry.name;
    });
    return (await Promise.all(names)).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw fail(fileError(path, error), error);
  }
}

/** Looks for a file of an npm package from the current folder, then from tersor's own folder. */
function packaged(specifier: string): string | null {
  const bases = [join(process.cwd(), "tersor.js"), import.meta.url];
  const folders = bases.flatMap((base) => createRequire(base).resolve.paths(specifier) ?? []);
  return folders.map((folder) => join(folder, specifier)).find((path) => existsSync(path)) ?? null;
}

const reasons: Readonly<Record<string, string>> = {
  EISDIR: "it is a folder",
  EACCES: "no permission",
  EPERM: "no permission",
};

function fileError(path: string, error: unknown): ErrorInfo {
  const { code = "", message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return errors.noSuchFile(path);
  return errors.cannotRead(path, reasons[code] ?? (code || message));
}

/** The number of bytes that `coder` writes; it takes one chunk after the other to save memory. */
async function compressedSize(coder: Gzip | BrotliCompress, chunks: Iterable<Uint8Array>) {
  let size = 0;
  coder.on("data", (chunk: Uint8Array) => {
    size += chunk.length;
  });
  try {
    for (const chunk of chunks) {
      await new Promise<void>((resolve, reject) => {
        coder.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    }
    await new Promise((resolve, reject) => coder.on("end", resolve).on("error", reject).end());
  } finally {
    coder.destroy();
  }
  return size;
}
