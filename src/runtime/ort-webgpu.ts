/** @file ONNX Runtime's WebGPU build, for browsers with a GPU that they let pages use. */
import { type Engine, openSession } from "./ort.ts";
import type { Runtime, SessionOptions, Source } from "./runtime.ts";

/** Nodes of one operator. */
export interface OpCount {
  readonly op: string;
  readonly count: number;
}

/** An engine on a GPU, which computes operators without a kernel there on the processor. */
export interface GpuRuntime extends Pick<Runtime, "name" | "version" | "open"> {
  /** The GPU as the browser names it: "nvidia ampere". */
  readonly adapter: string;
  /**
   * The nodes of a model that are computed on the processor, by operator, the most frequent first.
   * Rejects with TersorError "cannot-open".
   */
  fallbacks(source: Source, options?: SessionOptions): Promise<OpCount[]>;
}

/** What a browser gives of its GPUs: `navigator.gpu`. */
export interface Gpu {
  requestAdapter(): Promise<{
    readonly info?: { readonly vendor: string; readonly architecture: string };
  } | null>;
}

type Ort = typeof import("onnxruntime-web/wasm");

/**
 * Loads the build with WebGPU, of 27 MB, if the browser has a GPU for it; else gives null. `load`
 * imports it.
 */
export async function openWebGpuRuntime(
  gpu: Gpu | undefined,
  load: () => Promise<Ort> = () => import("onnxruntime-web/webgpu"),
): Promise<GpuRuntime | null> {
  const adapter = await gpu?.requestAdapter().catch(() => null);
  if (!adapter) return null;
  const ort = await load();
  ort.env.logLevel = "fatal";
  ort.env.wasm.numThreads = 1;
  const version = ort.env.versions.web!;
  const engine: Engine = { ort, label: `onnxruntime-web ${version} (WebGPU)`, provider: "webgpu" };
  const { vendor = "", architecture = "" } = adapter.info ?? {};
  return {
    name: "webgpu",
    version,
    adapter: `${vendor} ${architecture}`.trim() || "unnamed",
    open: (source, options) => hearing(null, () => openSession(engine, source, options)),
    async fallbacks(source, options) {
      const lines: string[] = [];
      const session = await hearing(
        (line) => lines.push(line),
        () => openSession({ ...engine, isVerbose: true }, source, options),
      );
      await session.close();
      return onProcessor(lines);
    },
  };
}

type Listener = (line: string) => void;
let listener: Listener | null = null;
const plain = console.error;
/** The engine keeps the function that it finds when it starts, at the first opening of a model. */
const heard: typeof console.error = (...words) =>
  listener ? listener(words.map(String).join(" ")) : plain.apply(console, words);

/** Does some work of the engine while its log, which it writes to the console, goes to `listen`. */
async function hearing<T>(listen: Listener | null, work: () => Promise<T>): Promise<T> {
  [listener, console.error] = [listen, heard];
  try {
    return await work();
  } finally {
    [listener, console.error] = [null, plain];
  }
}

/**
 * Which nodes are not on the GPU, by the lines that the engine logs when it opens a model:
 *
 *   ... VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [CPUExecutionProvider]. Number of nodes: 2
 *   ... VerifyEachNodeIsAssignedToAnEp]   QLinearConv (conv1)
 *
 * Copies between both are no operators of the model.
 */
export function onProcessor(lines: readonly string[]): OpCount[] {
  const counts = new Map<string, number>();
  let isOnGpu = true;
  for (const line of lines) {
    const [, said] = /VerifyEachNodeIsAssignedToAnEp\]\s+(.*)$/.exec(line) ?? [];
    if (said === undefined) continue;
    const [, all, provider, number] =
      /^(All nodes|Node\(s\)) placed on \[(\w+)\]\. Number of nodes: (\d+)/.exec(said) ?? [];
    if (provider) {
      isOnGpu = provider === "WebGpuExecutionProvider";
      // No list of nodes follows where all are in one place.
      if (all === "All nodes" && !isOnGpu) counts.set("all", Number(number));
      continue;
    }
    // Copies between the two are not the model's own nodes.
    const [, op] = /^(?!Memcpy)(\w+) \(.*\)$/.exec(said) ?? [];
    if (op && !isOnGpu) counts.set(op, (counts.get(op) ?? 0) + 1);
  }
  return [...counts].map(([op, count]) => ({ op, count })).sort((a, b) => b.count - a.count);
}
