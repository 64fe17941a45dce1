/** @file The engine on a GPU: found or not, what falls back to the processor, and when it is trusted. */
import { describe, expect, test } from "vitest";
import { createTersor } from "../../src/api.ts";
import { errors, fail } from "../../src/errors.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { largestDifference } from "../../src/recipe/on-gpu.ts";
import { type GpuRuntime, onProcessor, openWebGpuRuntime } from "../../src/runtime/ort-webgpu.ts";
import type { Session } from "../../src/runtime/runtime.ts";
import { gpuSentence } from "../../studio/src/parts/gpu-sentence.ts";

const never = () => Promise.reject(new Error("loaded without need"));

describe("the engine", () => {
  test("is not loaded where the browser has no GPU for pages, or gives none", async () => {
    expect(await openWebGpuRuntime(undefined, never)).toBeNull();
    expect(await openWebGpuRuntime({ requestAdapter: async () => null }, never)).toBeNull();
    const refuses = { requestAdapter: () => Promise.reject(new Error("lost")) };
    expect(await openWebGpuRuntime(refuses, never)).toBeNull();
  });

  test("names the GPU", async () => {
    const info = { vendor: "acme", architecture: "one" };
    const load = () => import("onnxruntime-web/wasm");
    const gpu = await openWebGpuRuntime({ requestAdapter: async () => ({ info }) }, load);
    expect(gpu).toMatchObject({ name: "webgpu", adapter: "acme one" });
  });
});

describe("fallbacks", () => {
  // Lines as ONNX Runtime 1.30 writes them in Chromium.
  const at =
    "2026-11-30 14:52:25.110699 [V:onnxruntime:, session_state.cc:1385 VerifyEachNodeIsAssignedToAnEp]";
  const placed = (on: string, n: number) =>
    `${at}  Node(s) placed on [${on}]. Number of nodes: ${n}`;

  test("are the nodes that are placed on the processor, without copies", () => {
    const lines = [
      `${at} Node placements`,
      placed("WebGpuExecutionProvider", 2),
      `${at}   Gemm (fc1)`,
      `${at}   MemcpyToHost (Memcpy)`,
      placed("CPUExecutionProvider", 4),
      `${at}   QLinearConv (a (b))`,
      `${at}   MaxPool (pool1)`,
      `${at}   QLinearConv (conv2)`,
      `${at}   MemcpyFromHost (Memcpy_token_1)`,
      "something else (Conv)",
    ];
    expect(onProcessor(lines)).toEqual([
      { op: "QLinearConv", count: 2 },
      { op: "MaxPool", count: 1 },
    ]);
  });

  test("are none, or all, where all nodes are in one place", () => {
    const all = (on: string) => `${at}  All nodes placed on [${on}]. Number of nodes: 10`;
    expect(onProcessor([all("WebGpuExecutionProvider")])).toEqual([]);
    expect(onProcessor([all("CPUExecutionProvider")])).toEqual([{ op: "all", count: 10 }]);
  });
});

describe("the difference of outputs", () => {
  const y = (...values: number[]) => ({ y: tensor("float32", [values.length], values) });

  test("is the largest one beside the largest output", () => {
    expect(largestDifference(y(1, -4, 2), y(1, -4, 2))).toBe(0);
    expect(largestDifference(y(1, -4, 2), y(1, -4, 2.5))).toBeCloseTo(0.125);
    expect(largestDifference(y(0, 0), y(0, 0))).toBe(0);
  });

  test("is infinite for what cannot be compared", () => {
    expect(largestDifference(y(1, 2), y(1, Number.NaN))).toBe(Infinity);
    expect(largestDifference(y(1, 2), y(1))).toBe(Infinity);
    expect(largestDifference(y(1, 2), {})).toBe(Infinity);
    expect(largestDifference(y(Infinity, 2), y(Infinity, 2))).toBe(0);
  });
});

/** The native engine as if it were on a GPU, which multiplies outputs by `factor`. */
async function pretended(factor: number): Promise<GpuRuntime> {
  const { runtime } = await nodePlatform.runtime("auto");
  const bent = (session: Session): Session => ({
    ...session,
    async run(feeds, fetch) {
      const outputs = await session.run(feeds, fetch);
      return Object.fromEntries(
        Object.entries(outputs).map(([name, { shape }]) => {
          const values = outputs[name].floats().map((value) => value * factor);
          return [name, tensor("float32", shape, values)];
        }),
      );
    },
  });
  return {
    ...{ name: "webgpu", version: runtime.version, adapter: "pretended" },
    open: async (source, options) => bent(await runtime.open(source, options)),
    fallbacks: async () => [{ op: "TopK", count: 1 }],
  };
}

describe("a model on the GPU", () => {
  const tried = async (factor: number) => {
    const gpu = await pretended(factor);
    const tersor = createTersor({ ...nodePlatform, gpu: async () => gpu });
    const model = await tersor.load("examples/lenet5.onnx");
    return tersor.onGpu([model, model], { timingSeconds: 0.05 });
  };

  test("is trusted and timed where outputs agree within the tolerance", async () => {
    const found = await tried(1 + 5e-4);
    expect(found?.runs.map(({ isTrusted }) => isTrusted)).toEqual([true, true]);
    expect(found?.runs[0].difference).toBeCloseTo(5e-4, 5);
    expect(found?.bench?.[1].latency?.runtime).toBe("webgpu");
    expect(gpuSentence(found!)).toMatch(/differ by at most 0\.05 % .*\(allowed is 0\.1 %\)/);
  });

  test("is neither where they do not, and that is said", async () => {
    const found = await tried(1 + 5e-3);
    expect(found).toMatchObject({ bench: null, adapter: "pretended" });
    expect(found?.runs[0]).toMatchObject({
      isTrusted: false,
      fallbacks: [{ op: "TopK", count: 1 }],
    });
    expect(gpuSentence(found!)).toMatch(
      /^It is not trusted: for the original and the candidate .* 0\.5/,
    );
  });

  test("is no error where the engine there refuses it, and that is said", async () => {
    const refuses: GpuRuntime = {
      ...(await pretended(1)),
      open: () => Promise.reject(fail(errors.cannotOpen("engine", "no kernel for Cast"))),
    };
    const tersor = createTersor({ ...nodePlatform, gpu: async () => refuses });
    const found = await tersor.onGpu([await tersor.load("examples/lenet5.onnx")]);
    expect(found).toMatchObject({ bench: null, runs: [{ isTrusted: false, fallbacks: [] }] });
    expect(gpuSentence(found!)).toMatch(
      /^It cannot run the original \(.*no kernel for Cast.*\), so/,
    );
  });

  test("is null where the platform has no GPU", async () => {
    const tersor = createTersor(nodePlatform);
    expect(await tersor.onGpu([await tersor.load("examples/lenet5.onnx")])).toBeNull();
  });
});
