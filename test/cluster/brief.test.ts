/** @file What other processes are told of the settings. */
import { expect, test } from "vitest";
import { briefOf } from "../../src/cluster/brief.ts";
import type { Assignment } from "../../src/recipe/runner.ts";

test("workers have every setting that decides a result, with the engine that was chosen here", () => {
  const decides = {
    ...{ data: "npz:a.npz", calib: "npz:b.npz", keepAll: true, threads: 3, trains: true },
    ...{ deterministic: true, computeChoice: null, seed: 7, dims: { n: 2 }, input: { sr: 16000 } },
    ...{ on: "web-wasm", measures: true, timingSeconds: 0.5, metric: "flips" },
  };
  const assignment = {
    model: { name: "m.onnx", source: { bytes: new Uint8Array(1) } },
    settings: { ...decides, runtime: "auto", teacher: null, signal: null, onEvent() {} },
    job: { runtime: "web" },
  } as unknown as Assignment;
  expect(briefOf(assignment, "key").settings).toEqual({ ...decides, runtime: "web" });
});
