/** @file ONNX Runtime's WebAssembly build: browsers, and Node where the native build is missing. */
import { type Engine, openSession } from "./ort.ts";
import type { Runtime } from "./runtime.ts";

/**
 * The last call of `open`. Calls are made one after the other, because this build keeps external
 * data in one global table: overlapping calls would read each other's files.
 */
let opening: Promise<unknown> = Promise.resolve();

/**
 * Loads onnxruntime-web. It runs with one thread whatever `SessionOptions.threads` says, because
 * more threads need a page with cross-origin isolation. The `/wasm` entry is the build without GPU
 * support; it is smaller, and runs in Node unchanged.
 */
export async function openWebRuntime(): Promise<Runtime> {
  const ort = await import("onnxruntime-web/wasm");
  ort.env.logLevel = "fatal";
  ort.env.wasm.numThreads = 1;
  const version = ort.env.versions.web!;
  const engine: Engine = { ort, label: `onnxruntime-web ${version}`, provider: "wasm" };
  return {
    name: "web",
    version,
    open(source, options) {
      const session = opening.then(() => openSession(engine, source, options));
      opening = session.catch(() => null);
      return session;
    },
    profile: () => Promise.resolve(null), // the wasm build writes no trace
  };
}
