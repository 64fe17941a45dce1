/** @file A platform on which measuring takes no time, for tests of what is measured and not how fast. */
import { nodePlatform } from "../../src/node/platform.ts";
import type { Platform } from "../../src/platform.ts";

/** Every look at the clock takes 5 ms: what is timed runs a few times, always as many. No brotli. */
export function quickPlatform(): Platform {
  let now = 0;
  const wallMs = () => (now += 5);
  return { ...nodePlatform, wallMs, cpuMs: () => null, brotliSize: async () => null };
}
