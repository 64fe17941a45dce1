/** @file The native build is optional: its absence is an error with a remedy, not a stack trace. */
import { expect, test, vi } from "vitest";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";

test("without onnxruntime-node", async () => {
  vi.doMock("onnxruntime-node", () => {
    throw new Error("Cannot find package 'onnxruntime-node'");
  });
  await expect(openNodeRuntime()).rejects.toMatchObject({
    code: "no-runtime",
    where: "onnxruntime-node",
    remedy: expect.stringMatching(/ONNXRUNTIME_NODE_INSTALL=skip npm install .*--runtime web/),
  });
});
