/** @file The engine of a run, and the target that its models are for. */
import { errors, fail } from "../errors.ts";
import type { Platform } from "../platform.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { ownTarget, targetNamed } from "../targets/index.ts";
import type { TargetDevice } from "../targets/target.ts";

/** What a user says of the engine; see `Settings`. */
export interface Wanted {
  readonly runtime?: "auto" | "node" | "web" | undefined;
  readonly on?: string | undefined;
}

export interface Engine {
  readonly runtime: Runtime;
  readonly target: TargetDevice;
  /** That another engine than the wanted one is used; null if not. */
  readonly warning: string | null;
}

/**
 * Opens the engine that judges models for the target; without a named target this machine is it. Throws
 * TersorError "bad-option" for an unknown target, and for an engine that is not the target's.
 */
export async function engineOf(
  { runtime = "auto", on }: Wanted,
  platform: Pick<Platform, "runtime" | "processor">,
): Promise<Engine> {
  const named = on === undefined ? null : targetNamed(on, "--on");
  if (named && runtime !== "auto" && runtime !== named.engine) {
    const why = `is judged by onnxruntime-${named.engine}, and the runtime is ${runtime}`;
    throw fail(errors.badOption(`--on ${named.id}`, why, "Leave --runtime out"));
  }
  // A native target is judged in WebAssembly where the native engine is missing: not timed, but judged.
  const found = await platform.runtime(named?.engine === "web" ? "web" : runtime);
  const target = named ?? ownTarget(found.runtime.name, platform.processor);
  return { ...found, target };
}

/** What the rows of a run say in place of times. */
export const untimedWords = ({ id }: TargetDevice): string =>
  `speeds are not measured, because nothing here runs as ${id} does: what is said of them are published figures (docs/targets.md)`;
