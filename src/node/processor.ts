/** @file This machine's processor: what decides which kernels the engine chooses. */
import { readFileSync } from "node:fs";
import { arch } from "node:os";
import type { Processor } from "../targets/index.ts";

/** The architecture, and whether it has VNNI; that is known on Linux alone. */
export function ownProcessor(): Processor {
  const features = arch() === "x64" ? cpuFeatures() : null;
  const vnni = features && (features.has("avx512_vnni") || features.has("avx_vnni"));
  return { arch: arch(), vnni };
}

/** The features in /proc/cpuinfo; null on systems without it. */
export function cpuFeatures(): ReadonlySet<string> | null {
  try {
    const [, line = ""] = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8")) ?? [];
    return line ? new Set(line.trim().split(/\s+/)) : null;
  } catch {
    return null; // not Linux
  }
}
