/** @file What the universal core asks of its surroundings; node.ts and web.ts each give one. */

import type { ByteSource } from "./ir/tensor.ts";
import type { Runtime } from "./runtime/runtime.ts";

/** Decoded image, 8 bits per channel, row-major HWC. */
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

/** Where long work is saved, to go on after an end that nobody wanted. */
export interface Checkpoints {
  /** What was saved under the name, when the run is to go on from there; else null. */
  load(name: string): Promise<Uint8Array | null>;
  save(name: string, bytes: Uint8Array): Promise<void>;
  /** The file, for messages. */
  where(name: string): string;
}

export interface Platform {
  /** "node 20.20.2 linux x64", for reports. */
  readonly name: string;
  readonly cores: number;
  readonly files: {
    /** Whole file. Rejects with a TersorError ("no-such-file") when absent. */
    read(path: string): Promise<Uint8Array>;
    /** Lazy bytes of a file, opened once, read on demand. */
    source(path: string): ByteSource;
    /** Names in a folder, sorted; directories end in "/". Null when it is not a folder. */
    list(path: string): Promise<string[] | null>;
    exists(path: string): boolean;
    /** Absolute path of a file inside an installed npm package, null when it is not installed. */
    packaged(specifier: string): string | null;
  };
  /** JPEG/PNG/WebP -> RGB pixels; `size` resizes the shorter side and crops the centre. */
  decodeImage(bytes: Uint8Array, size?: { width: number; height: number }): Promise<Image>;
  /** Sizes after compression at the strongest setting that takes seconds; null where the platform lacks the coder, or where it would take minutes. */
  gzipSize(bytes: Iterable<Uint8Array>): Promise<number | null>;
  brotliSize(bytes: Iterable<Uint8Array>): Promise<number | null>;
  /** Milliseconds: wall since an arbitrary start, and process CPU time (null in browsers). */
  wallMs(): number;
  cpuMs(): number | null;
  /** Loads a user's module and gives its default export. */
  module(path: string): Promise<unknown>;
  /** ONNX Runtime by name; "auto" is node when installed, else web with a warning. */
  runtime(name: "auto" | "node" | "web"): Promise<{ runtime: Runtime; warning: string | null }>;
  /** An engine in a thread of its own, for work side by side; null where there are no such threads. */
  startWorker: ((runtime: Runtime) => EngineWorker | null) | null;
}
