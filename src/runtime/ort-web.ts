/** @file ONNX Runtime's WebAssembly build: browsers, and Node where the native build is missing. */
import { type Engine, openSession } from "./ort.ts";
import type { Runtime } from "./runtime.ts";

/** The build mounts external data in one global table: opens that overlap read each other's files. */
let opening: Promise<unknown> = Promise.resolve();

/**
 * One thread, whatever `SessionOptions.threads` says: more need cross-origin isolation. The `/wasm`
 * entry is the CPU-only build (14 MB instead of 28) and runs in Node unchanged.
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
