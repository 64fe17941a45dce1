/** @file The Platform of a browser page or worker: dropped files, URLs, onnxruntime-web. */
import { gzipSync } from "fflate";
import { coverImage } from "../data/resize.ts";
import { errors, fail } from "../errors.ts";
import { concat } from "../onnx/write.ts";
import type { Platform } from "../platform.ts";
import { openWebRuntime } from "../runtime/ort-web.ts";
import { type Gpu, openWebGpuRuntime } from "../runtime/ort-webgpu.ts";
import { withoutOrientation } from "./orientation.ts";

/**
 * `files` are the files that the user dropped on the page, by name ("model.onnx",
 * "photos/cat/1.jpg"). A name that is not among them is fetched as a URL. There is no CPU clock, no
 * brotli coder and no npm package to look into.
 */
export function createBrowserPlatform(
  files: ReadonlyMap<string, Uint8Array> = new Map(),
): Platform {
  return {
    name: `browser ${navigator.userAgent}`,
    cores: navigator.hardwareConcurrency,
    processor: { arch: "unknown", vnni: null },
    files: {
      read: async (path) => files.get(path) ?? download(path),
      isBeside: () => true, // dropped files are no links
      source(path) {
        const bytes = files.get(path);
        if (!bytes) throw fail(errors.noSuchFile(path));
        return {
          byteLength: bytes.byteLength,
          read: (offset, length) => bytes.subarray(offset, offset + length),
        };
      },
      list: async (path) => listFolder(files, path),
      exists: (path) => files.has(path) || [...files.keys()].some((name) => isBelow(name, path)),
      stat(path) {
        const bytes = files.get(path);
        return bytes ? { byteLength: bytes.byteLength, modifiedMs: null } : null;
      },
      packaged: () => null,
    },
    decodeImage,
    gzipSize: async (chunks) => gzipSync(joined(chunks), { level: 9 }).byteLength,
    // Browsers can decompress brotli but not compress with it.
    brotliSize: async () => null,
    wallMs: () => performance.now(),
    cpuMs: () => null,
    module: async (path) => (await import(/* @vite-ignore */ path)).default,
    runtime: async () => ({ runtime: await openWebRuntime(), warning: null }),
    gpu: () => openWebGpuRuntime((navigator as { readonly gpu?: Gpu }).gpu),
    startWorker: null,
  };
}

/** Fetches a URL. Throws TersorError "no-such-file" for any failure. */
async function download(path: string): Promise<Uint8Array> {
  const response = await fetch(path).catch((cause: unknown) => {
    throw fail(errors.noSuchFile(path), cause);
  });
  if (!response.ok) throw fail(errors.noSuchFile(path));
  return new Uint8Array(await response.arrayBuffer());
}

const isBelow = (name: string, folder: string): boolean =>
  name.startsWith(folder.endsWith("/") ? folder : `${folder}/`);

/** The names in a folder, as `Platform.files.list` gives them; null if no file is below `path`. */
function listFolder(files: ReadonlyMap<string, Uint8Array>, path: string): string[] | null {
  const start = path.endsWith("/") ? path.length : path.length + 1;
  const names = new Set<string>();
  for (const name of files.keys()) {
    if (!isBelow(name, path)) continue;
    const [first, ...rest] = name.slice(start).split("/");
    names.add(rest.length > 0 ? `${first}/` : first);
  }
  return names.size > 0 ? [...names].sort() : null;
}

/** RGB pixels as they are stored: without EXIF orientation, colour management and alpha. */
const decodeImage: Platform["decodeImage"] = async (bytes, size) => {
  const blob = new Blob([withoutOrientation(bytes) as Uint8Array<ArrayBuffer>]);
  const options: ImageBitmapOptions = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(blob, options).catch((cause: Error) => {
    throw fail(errors.badImage("image", cause.message), cause);
  });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (!context) throw fail(errors.badImage("image", "no canvas to decode it on"));
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, j = 0; j < data.length; i += 4) {
    data[j++] = rgba[i];
    data[j++] = rgba[i + 1];
    data[j++] = rgba[i + 2];
  }
  const image = { width, height, channels: 3, data };
  return size ? coverImage(image, size) : image;
};

function joined(chunks: Iterable<Uint8Array>): Uint8Array {
  const parts = [...chunks];
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return concat({ chunks: parts, byteLength });
}
