import { describe, expect, test } from "vitest";
import { conformanceCases, runCase } from "./conformance.ts";
import { runtime } from "./support.ts";

/** Every twelfth of them, for a quick run; test/long takes all. */
const sample = conformanceCases().filter((_, i) => i % 12 === 5);

describe.skipIf(sample.length === 0)("a sample of the ONNX operator tests", () => {
  test.each(sample)("%s", async (folder) => {
    const { status, why } = await runCase(folder, runtime);
    expect(status === "failed" ? why : "").toBe("");
  });
});
