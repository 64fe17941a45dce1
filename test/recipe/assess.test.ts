/** @file A row's rates and speed-ups, from models whose sizes and times are known. */
import { expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { assess, assessBaseline } from "../../src/recipe/assess.ts";
import { loadModel } from "../../src/recipe/load.ts";
import type { Runtime, Session } from "../../src/runtime/runtime.ts";
import { environmentOf } from "../support/apply.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

/** 5 `units` numbers for 4 inputs and the bias, and 2 `units` + 2 for 2 outputs. */
const mlp = (units: number, zeros: number): Model =>
  layerModel(["N", 4], (g, x) => {
    const numbers = (size: number) => new Float32Array(size).fill(1);
    const first = numbers(4 * units).fill(0, 0, zeros);
    const hidden = g.Relu(
      g.Gemm(x, g.constant(first, { shape: [4, units] }), g.constant(numbers(units))),
    );
    return g.Gemm(
      hidden,
      g.constant(numbers(2 * units), { shape: [units, 2] }),
      g.constant(numbers(2)),
    );
  });

const [original, simplified, product] = [mlp(6, 0), mlp(4, 0), mlp(2, 3)];
const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));
const sizes = [original, simplified, product].map((model) => bytesOf(model).length);

/** Milliseconds of a run of the product in each of its sessions. */
const paces = [8, 12, 9, 11, 10, 10.5, 9.5, 8.5, 11.5];

/** An engine whose runs take 24, 12 and `paces` ms of CPU time, and twice that on the wall. */
function engine() {
  let [cpu, opened] = [0, 0];
  const runtime = {
    name: "node",
    version: "",
    profile: async () => null,
    async open({ bytes }: { bytes: Uint8Array }): Promise<Session> {
      const at = sizes.indexOf(bytes.length);
      const ms = at < 2 ? [24, 12][at] : paces[opened++ % paces.length];
      return {
        ...{ inputs: [], outputs: [] },
        async run() {
          cpu += ms;
          return {};
        },
        async close() {},
      };
    },
  } as unknown as Runtime;
  return { runtime, cpuMs: () => cpu, wallMs: () => 2 * cpu };
}

test("alpha, beta and delta are those of the survey, original over compressed", async () => {
  const { runtime, ...clocks } = engine();
  // The files take 300 and 120 bytes after brotli.
  const brotliSize = async (chunks: Iterable<Uint8Array>) =>
    [300, 200, 120][sizes.indexOf([...chunks][0].length)];
  const env = environmentOf(nets[0], {
    runtime,
    platform: { ...nodePlatform, ...clocks, brotliSize },
    calibration: null,
    training: null,
    feeds: {},
    timingMs: 20_000,
  });
  const loaded = await loadModel(bytesOf(original), nodePlatform);
  const baseline = await assessBaseline(loaded, env, { simplified });
  const row = await assess(baseline, {
    ...{ recipe: "r", family: "pruning", file: null, packed: null, skipped: [], warnings: [] },
    ...{ source: { bytes: bytesOf(product) }, model: product, isFromSimplified: true },
    training: { value: 3, ci95: [2.5, 3.5] },
    ease: { data: "none", training: true, seconds: 1, covered: 1 },
  });
  await baseline.close();

  // a = 7 * 6 + 2 = 44 numbers, a* = 7 * 2 + 2 = 16, three of which are zero.
  expect([baseline.result.params, row.params, row.nonzeros]).toEqual([44, 16, 13]);
  expect(row.alpha).toEqual({ params: 44 / 16, bytes: sizes[0] / sizes[2], brotli: 300 / 120 });
  expect(row.beta.survey).toBeCloseTo((44 - 16) / 16, 12);
  expect(row.beta.saved).toBeCloseTo((sizes[0] - sizes[2]) / sizes[0], 12);

  // The median pace is 10 ms; of nine, the sign test leaves out the slowest and the fastest.
  expect(row.latency).toMatchObject({ median: 10, clock: "cpu" });
  const { ci95, ...delta } = row.delta;
  expect(delta).toEqual({ infer: 24 / 10, recipe: 12 / 10, train: 3 });
  for (const [of, ms] of [
    ["infer", 24],
    ["recipe", 12],
  ] as const) {
    expect(ci95[of]?.[0]).toBeCloseTo(ms / 11.5, 12);
    expect(ci95[of]?.[1]).toBeCloseTo(ms / 8.5, 12);
  }
  expect(ci95.train).toEqual([2.5, 3.5]);
});
