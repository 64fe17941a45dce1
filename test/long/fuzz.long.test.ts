/**
 * @file 20,000 mutated ONNX and .tersor files: read or refused, in bounded time. FUZZ=25000 makes
 * them 100,000.
 */
import { expect, test } from "vitest";
import { attempt, fuzzSeeds, limits, mutation } from "./fuzz.ts";

const files = fuzzSeeds();

const count = Number(process.env.FUZZ ?? 5000);

/** CPU time of this process, which other work on the machine hardly changes. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

test.each([1, 2, 3, 4])("stream %i", { timeout: 120 * count }, async (seed) => {
  let read = 0;
  for (let i = 0; i < count; i++) {
    const bytes = mutation(files, seed, i);
    const began = cpuMs();
    const before = process.memoryUsage().arrayBuffers;
    const outcome = await attempt(bytes).catch((cause: unknown) => {
      throw new Error(`stream ${seed}, file ${i}`, { cause });
    });
    if (outcome === "read") read++;
    expect(cpuMs() - began, `CPU ms of file ${i}`).toBeLessThan(limits.ms);
    const grown = process.memoryUsage().arrayBuffers - before;
    expect(grown, `bytes of file ${i}`).toBeLessThan(limits.bytes + 10 * bytes.length);
  }
  expect(read).toBeGreaterThan(count / 20);
});
