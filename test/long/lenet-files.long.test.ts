/** @file The committed .tersor files: their bytes, and their error on all test images of MNIST. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { evaluate, load } from "../../src/node.ts";
import { unpack } from "../../src/unpack.ts";

/** Han et al. 2016 (arXiv 1510.00149) for deep-compression; issue 4 for the smallest. */
test.each([
  ["lenet-300-100.deep-compression", 27_000, 1.64],
  ["lenet5.deep-compression", 44_000, 0.8],
  ["lenet-300-100.smallest", 8_600, 1.9],
  ["lenet5.smallest", 8_600, 0.9],
  ["lenet5.tiny", 2_840, 1],
])("%s takes at most %i bytes and errs on at most %f percent", async (name, bytes, error) => {
  const packed = readFileSync(new URL(`../../examples/${name}.tersor`, import.meta.url));
  expect(packed.length).toBeLessThanOrEqual(bytes);
  const model = await load((await unpack(packed)).slice());
  const { metric } = await evaluate(model, { data: "mnist:test", timingSeconds: 0.1 });
  expect(100 - (metric?.value ?? 0)).toBeLessThanOrEqual(error + 1e-6);
});
