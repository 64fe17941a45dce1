/** @file What other processes are told of the settings. */
import { expect, test } from "vitest";
import { briefOf } from "../../src/cluster/brief.ts";
import type { Assignment } from "../../src/recipe/runner.ts";

test("workers have every setting that decides a result, with the engine that was chosen here", () => {
  const decides = {
    ...{ data: "npz:a.npz", calib: "npz:b.npz", keepAll: true, threads: 3, trains: true },
    ...{ deterministic: true, computeChoice: null, seed: 7, dims: { n: 2 }, input: { sr: 16000 } },
    ...{ measures: true, timingSeconds: 0.5, metric: "flips" },
  };
  const settingsOf = (more: object): unknown => {
    const assignment = {
      model: { name: "m.onnx", source: { bytes: new Uint8Array(1) } },
      settings: { ...decides, ...more, teacher: null, signal: null, onEvent() {} },
      job: { runtime: "web" },
    };
    return briefOf(assignment as unknown as Assignment, "key").settings;
  };
  expect(settingsOf({ runtime: "auto" })).toEqual({ ...decides, runtime: "web" });
  // A target, which methods ask, chooses the engine by itself.
  expect(settingsOf({ on: "web-wasm" })).toEqual({ ...decides, on: "web-wasm", runtime: "auto" });
});
