/** @file Opens sessions of ONNX Runtime, the same way for its native and its web build. */
import type { InferenceSession, OnnxValue } from "onnxruntime-web/wasm";
import { errors, fail, TersorError } from "../errors.ts";
import type { DType } from "../ir/dtype.ts";
import type { Tensor } from "../ir/tensor.ts";
import { checkFeeds } from "./check-feeds.ts";
import { fromOrt, type OrtTensorConstructor, toOrt } from "./convert.ts";
import {
  type Feeds,
  type Port,
  type Session,
  type SessionOptions,
  type Source,
  sourceBytes,
} from "./runtime.ts";

type Ort = typeof import("onnxruntime-web/wasm");

/** One loaded build of ONNX Runtime. */
export interface Engine {
  readonly ort: Ort;
  /** Its name in errors: "onnxruntime-node 1.30.0". */
  readonly label: string;
  readonly provider: "cpu" | "wasm" | "webgpu";
  /** Whether the engine logs all that it does when it opens a model (default false). */
  readonly isVerbose?: boolean;
}

/** A session of ONNX Runtime, which may write a trace. */
export interface OrtSession extends Session {
  /** Closes the engine's trace file; only for sessions that were opened with one. */
  endProfiling(): void;
}

/** The engine gets models as bytes, of which it keeps a copy; it gets none of more than 2 GiB. */
const MOST = 2 ** 31;

/**
 * Opens a model. With `trace` the engine writes a trace of all runs to a file with this path
 * prefix. Rejects with TersorError "cannot-open", with the engine's error text.
 */
export async function openSession(
  { ort, label, provider, isVerbose = false }: Engine,
  source: Source,
  options: SessionOptions = {},
  trace?: string,
): Promise<OrtSession> {
  const size = sourceBytes(source);
  if (size > MOST) throw fail(errors.tooLarge(label, size));
  const bytes = ownMemory(source.bytes);
  let native: InferenceSession | null;
  try {
    native = await ort.InferenceSession.create(bytes, {
      executionProviders: [provider],
      executionMode: "sequential", // "parallel" was slower in all measurements
      intraOpNumThreads: options.threads ?? 1,
      graphOptimizationLevel: options.optimize ?? "all",
      enableCpuMemArena: true,
      enableMemPattern: options.memoryPattern ?? true,
      logSeverityLevel: isVerbose ? 0 : 4, // nothing on stderr: failures are exceptions already
      // Threads that wait by spinning would take a core from the next session of this process.
      extra: { "session.intra_op.allow_spinning": "0", ...options.extra },
      ...(source.external && {
        externalData: source.external.map(({ path, data }) => ({ path, data })),
      }),
      ...(trace !== undefined && { enableProfiling: true, profileFilePrefix: trace }),
    });
  } catch (cause) {
    throw fail(errors.cannotOpen(label, wordsOf(cause)), cause);
  }
  const inputs = native.inputMetadata.map(portOf);
  // The binding cannot fetch sequences and maps, such as those of a ZipMap.
  const outputs = native.outputMetadata.filter(({ isTensor }) => isTensor).map(portOf);
  const packed = outputs.find(({ dtype }) => dtype === "int4" || dtype === "uint4");
  if (packed) {
    // Fetching such an output ends the Node process inside the binding (1.30), without an
    // exception, and is not supported on the web.
    await native.release();
    throw fail(errors.cannotOpen(label, `output "${packed.name}" is ${packed.dtype}; cast it`));
  }
  return {
    inputs,
    outputs,
    async run(feeds, fetch) {
      if (!native) throw fail(errors.runFailed(label, "the session is closed", "Open it again"));
      const fed = checkFeeds(inputs, feeds);
      try {
        const results = await native.run(ortFeeds(fed, ort.Tensor), fetch ?? outputs.map(nameOf));
        return tensorsOf(results);
      } catch (cause) {
        throw cause instanceof TersorError
          ? cause
          : fail(errors.runFailed(label, wordsOf(cause)), cause);
      }
    },
    async close() {
      const open = native;
      native = null;
      await open?.release();
    },
    endProfiling: () => native?.endProfiling(),
  };
}

function ortFeeds(feeds: Feeds, Ort: OrtTensorConstructor): Record<string, OnnxValue> {
  return Object.fromEntries(Object.entries(feeds).map(([name, x]) => [name, toOrt(x, Ort)]));
}

function tensorsOf(results: InferenceSession.OnnxValueMapType): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(results).map(([name, y]) => [name, fromOrt(y)]));
}

function portOf(value: InferenceSession.ValueMetadata): Port {
  return value.isTensor
    ? { name: value.name, dtype: value.type as DType, dims: value.shape }
    : { name: value.name, dtype: null, dims: [] };
}

const nameOf = (port: Port) => port.name;

/** The bytes in memory of their own: the native binding rejects shared memory. */
function ownMemory(bytes: Uint8Array): Uint8Array {
  return bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice();
}

/** The first line of the engine's error text, without error codes and paths of its build. */
function wordsOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message
    .split("\n")[0]
    .replace(/^.*ERROR_MESSAGE: /, "")
    .replace(/\/\S+\/(\w+\.(cc|h):\d+)/, "$1")
    .trim();
}
