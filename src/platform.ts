/** @file Platform: what the core needs of its surroundings; Node and browsers implement it. */

import type { ByteSource } from "./ir/tensor.ts";
import type { GpuRuntime } from "./runtime/ort-webgpu.ts";
import type { Runtime } from "./runtime/runtime.ts";
import type { Processor } from "./targets/index.ts";

/** A decoded image: 8 bits per channel, row-major, [height, width, channels]. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** A runtime in a thread of its own; `stop` ends the thread, its sessions included. */
export interface EngineWorker {
  readonly runtime: Pick<Runtime, "open">;
  stop(): Promise<void>;
}

/** Storage for the state of long runs, from which an interrupted run is resumed. */
export interface Checkpoints {
  /** What was saved under the name; null if there is nothing or the run is not to be resumed. */
  load(name: string): Promise<Uint8Array | null>;
  save(name: string, bytes: Uint8Array): Promise<void>;
  /** The path of the file, for errors. */
  where(name: string): string;
  /** What later runs can use as well, and anyone may delete: the outputs of teachers. */
  readonly cache?: Cache | undefined;
}

/** Bytes by a key that stands for all that they depend on. */
export interface Cache {
  load(key: string): Promise<Uint8Array | null>;
  save(key: string, bytes: Uint8Array): Promise<void>;
}

/** Room outside memory for bytes that are not needed for a while; it is gone when the process ends. */
export interface Scratch {
  keep(bytes: Uint8Array): ByteSource;
}

export interface FileFacts {
  readonly byteLength: number;
  /** Time of the last change, milliseconds since 1970; null where that is not known. */
  readonly modifiedMs: number | null;
}

/** The surroundings of the core. */
export interface Platform {
  /** Makes such room; null or missing where there is none. */
  readonly scratch?: () => Scratch | null;
  /** The machine, for reports: "node 20.20.2 linux x64". */
  readonly name: string;
  readonly cores: number;
  readonly processor: Processor;
  readonly files: {
    /** Reads a whole file. Rejects with TersorError "no-such-file" or "cannot-read". */
    read(path: string): Promise<Uint8Array>;
    /** Opens a file whose parts are read on demand. Throws like `read`. */
    source(path: string): ByteSource;
    /**
     * Whether a file lies, links followed, in the folder of another file or below it: where the path
     * says that it is, or where that is a link to.
     */
    isBeside(path: string, other: string): boolean;
    /** The names in a folder, sorted; those of folders end in "/". Null if it is no folder. */
    list(path: string): Promise<string[] | null>;
    exists(path: string): boolean;
    /** Facts about a file, without reading it; null if it is no file or not known beforehand. */
    stat(path: string): FileFacts | null;
    /** The absolute path of a file in an npm package; null if that is not installed. */
    packaged(specifier: string): string | null;
  };
  /** JPEG, PNG or WebP to RGB; `size` resizes it to cover that size and crops the centre. */
  decodeImage(bytes: Uint8Array, size?: { width: number; height: number }): Promise<Image>;
  /** Bytes after gzip at its strongest setting; null where the platform cannot compress with it. */
  gzipSize(bytes: Iterable<Uint8Array>): Promise<number | null>;
  /** The same for brotli; also null for inputs that would take too long. */
  brotliSize(bytes: Iterable<Uint8Array>): Promise<number | null>;
  /** Wall time in milliseconds since an arbitrary start. */
  wallMs(): number;
  /** CPU time of the process in milliseconds; null where there is no such clock (browsers). */
  cpuMs(): number | null;
  /** Imports a user's module and resolves with its default export. */
  module(path: string): Promise<unknown>;
  /** ONNX Runtime by name; "auto" is the native one if installed, else web with a warning. */
  runtime(name: "auto" | "node" | "web"): Promise<{ runtime: Runtime; warning: string | null }>;
  /** The engine on a GPU; null where there is none. Missing where the platform has no such engine. */
  readonly gpu?: () => Promise<GpuRuntime | null>;
  /**
   * Starts an engine of the same kind in a thread of its own, for work in parallel. Null, or a
   * function that returns null, where there are no such threads.
   */
  startWorker: ((runtime: Runtime) => EngineWorker | null) | null;
}
