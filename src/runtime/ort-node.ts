/** @file ONNX Runtime's native build for Node, an optional dependency. */
import { errors, fail } from "../errors.ts";
import { type Engine, openSession } from "./ort.ts";
import type { Runtime } from "./runtime.ts";
import { nodeTimes } from "./trace.ts";

/**
 * Calls `record` with a path prefix under which the engine writes its trace, and resolves with the
 * text of that file. The core has no access to files, so src/node/profile.ts implements this.
 */
export type TraceFile = (record: (prefix: string) => Promise<void>) => Promise<string>;

/** The number of traced runs that are not counted. */
const warmup = 2;

/**
 * Loads onnxruntime-node. Rejects with TersorError "no-runtime" if it is not installed. Without
 * `traceFile`, `profile` resolves with null.
 */
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
    // The name is in a variable so that compilers and bundlers do not resolve this optional
    // package.
    const name: string = "onnxruntime-node";
    const ort = (await import(name)) as Engine["ort"];
    ort.env.logLevel = "fatal"; // the engine reads it once, at the first session of the process
    return { ort, label: `${name} ${ort.env.versions.node}`, provider: "cpu" };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw fail(errors.noRuntime("onnxruntime-node", why), cause);
  }
}
