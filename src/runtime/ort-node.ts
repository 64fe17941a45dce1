/** @file ONNX Runtime's native build for Node, an optional dependency. */
import { errors, fail } from "../errors.ts";
import { type Engine, openSession } from "./ort.ts";
import type { Runtime } from "./runtime.ts";
import { nodeTimes } from "./trace.ts";

/**
 * Gives `record` a path prefix for the engine's trace file and returns the text of the file it wrote:
 * `profileFiles` of src/node/profile.ts. The universal core has no files of its own.
 */
export type TraceFile = (record: (prefix: string) => Promise<void>) => Promise<string>;

const warmup = 2;

/** Rejects with "no-runtime" when onnxruntime-node is absent. Without `traceFile`, profile() gives null. */
export async function openNodeRuntime(traceFile?: TraceFile): Promise<Runtime> {
  const engine = await load();
  return {
    name: "node",
    version: engine.ort.env.versions.node!,
    open: (source, options) => openSession(engine, source, options),
    async profile(source, feeds, runs, options) {
      if (!traceFile) return null;
      const trace = await traceFile(async (prefix) => {
        const session = await openSession(engine, source, options, prefix);
        try {
          for (let i = 0; i < warmup + runs; i++) await session.run(feeds);
        } finally {
          session.endProfiling();
          await session.close();
        }
      });
      return nodeTimes(trace, warmup);
    },
  };
}

async function load(): Promise<Engine> {
  try {
    // Through a variable: an optional dependency must not be resolved at compile or bundle time.
    const name: string = "onnxruntime-node";
    const ort = (await import(name)) as Engine["ort"];
    ort.env.logLevel = "fatal"; // read once, by the first session of the process
    return { ort, label: `${name} ${ort.env.versions.node}`, provider: "cpu" };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw fail(errors.noRuntime("onnxruntime-node", why), cause);
  }
}
