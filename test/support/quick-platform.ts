/** @file A platform with an artificial clock, for tests that measure but do not test speed. */
import { nodePlatform } from "../../src/node/platform.ts";
import type { Platform } from "../../src/platform.ts";

/**
 * Its clock advances by 5 ms whenever it is read, so that timing takes few runs, always equally
 * many. It has no CPU clock and no brotli coder.
 */
export function quickPlatform(): Platform {
  let now = 0;
  const wallMs = () => (now += 5);
  return { ...nodePlatform, wallMs, cpuMs: () => null, brotliSize: async () => null };
}
