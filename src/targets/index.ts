/** @file The table of targets, by name. */
import { errors, fail } from "../errors.ts";
import { nearest } from "../util/nearest.ts";
import { arm } from "./arm.ts";
import { nodeCpu } from "./node-cpu.ts";
import { nodeCpuNoVnni } from "./node-cpu-no-vnni.ts";
import type { TargetDevice } from "./target.ts";
import { webWasm } from "./web-wasm.ts";
import { webWebgpu } from "./web-webgpu.ts";

export const targets: readonly TargetDevice[] = [nodeCpu, nodeCpuNoVnni, webWasm, webWebgpu, arm];

export const targetIds: readonly string[] = targets.map(({ id }) => id);

/** The target of this name. Throws TersorError "bad-option", which names `flag`. */
export function targetNamed(name: string, flag: string): TargetDevice {
  const found = targets.find(({ id }) => id === name);
  if (found) return found;
  const near = nearest(name, targetIds);
  const remedy = near ? `Did you mean "${near}"?` : `Give one of: ${targetIds.join(", ")}`;
  throw fail(errors.badOption(flag, `there is no target "${name}"`, remedy));
}

/** What decides which kernels an engine chooses on a machine. */
export interface Processor {
  /** As Node names it: "x64", "arm64". */
  readonly arch: string;
  /** Whether it multiplies bytes without saturating sums; null where that is not known. */
  readonly vnni: boolean | null;
}

/** The target that this machine is with this build of ONNX Runtime. */
export function ownTarget(engine: string, { arch, vnni }: Processor): TargetDevice {
  if (engine === "web") return webWasm;
  if (arch === "arm64") return arm;
  return arch === "x64" && vnni === false ? nodeCpuNoVnni : nodeCpu;
}
