import { describe, expect, test } from "vitest";
import { conformanceCases, type Outcome, runCase } from "../onnx/conformance.ts";
import { runtime } from "../onnx/support.ts";

const cases = conformanceCases();

describe.skipIf(cases.length === 0)("all ONNX operator tests", () => {
  test("round trip, and give the expected outputs at the newer operator set", async () => {
    const counts: Record<Outcome["status"], number> = { exact: 0, close: 0, failed: 0, skipped: 0 };
    const failures: string[] = [];
    for (const folder of cases) {
      const { status, why, opset } = await runCase(folder, runtime);
      counts[status]++;
      if (status === "failed") failures.push(`${folder} (opset ${opset}): ${why}`);
    }
    console.info(`operator tests: ${JSON.stringify(counts)}`);
    expect(failures).toEqual([]);
    // The engine must have run nearly all: a harness that skips everything proves nothing.
    expect(counts.exact + counts.close).toBeGreaterThan(0.9 * cases.length);
  }, 600_000);
});
