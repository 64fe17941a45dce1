/** @file Low rank for less work: nothing is written with which the whole model is not faster. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { normal } from "../layers/kernels.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env = environmentOf(nets[0]);
/** Products with a Relu in front of each, by [inputs, outputs]; the wider one saves more work. */
const sizes = [
  [64, 32],
  [32, 96],
  [96, 64],
];
/** A B of A [m, 4] and B [4, n]. */
function lowRank([m, n]: readonly number[]): Float32Array {
  const [a, b] = [normal(m * 4), normal(4 * n)];
  return Float32Array.from({ length: m * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return [0, 1, 2, 3].reduce((sum, k) => sum + a[i * 4 + k] * b[k * n + j], 0);
  });
}
const chain = layerModel(["N", 64], (g, x) =>
  sizes.reduce((y, shape) => g.MatMul(g.Relu(y), g.constant(lowRank(shape), { shape })), x),
);
const count = ({ graph }: Model): number =>
  [...graph.nodes].filter(({ op }) => op === "MatMul").length;

/** The layers take this share only if all of them are replaced. */
const fifth = { budget: 0.2, weighting: "none", multiple: 1 };

/** Applies with a clock that finds a model of at most `most` products faster. */
async function run(options: object, most = 0, method: MethodId = "factor-svd") {
  const tried: number[] = [];
  const clock = {
    async compare(_: Model, after: Model) {
      tried.push(count(after));
      const ci95 = count(after) <= most ? ([1.1, 1.3] as const) : ([0.8, 1.4] as const);
      return { value: 1.2, ci95 };
    },
  };
  const { model, bytes, skipped } = await apply(
    chain,
    method,
    { ...fifth, ...options },
    env,
    clock,
  );
  return { count: count(model), bytes, skipped, tried };
}

describe.each(["share", "pool"])("ranks=%s", (ranks) => {
  test.each(["macs", "milliseconds"])(
    "unit=%s: layers stay that make it no faster",
    async (unit) => {
      // Without a trace of the engine's, multiply-accumulates stand for milliseconds.
      const { count, skipped, tried } = await run({ ranks, unit });
      expect(tried).toEqual([6, 4]);
      expect(count).toBe(3);
      expect(new Set(skipped.map(({ reason }) => reason))).toEqual(
        new Set([
          `stays: with 3 layers replaced the model runs at 1.20x (0.80 to 1.40) on ${env.target.id}`,
        ]),
      );
      expect(skipped).toHaveLength(3);
    },
  );

  test("those that save most are kept where that is faster", async () => {
    const { count, skipped, tried } = await run({ ranks, unit: "macs" }, 4);
    expect([tried, count]).toEqual([[6, 4], 4]);
    // The last layer has twice as many weights as the others.
    expect(skipped.map(({ node }) => node)).toHaveLength(2);
    expect(skipped.map(({ node }) => node)).not.toContain("layer6");
  });

  test.each([{ unit: "parameters" }, { unit: "bytes" }, { unit: "macs", measure: false }])(
    "%j: nothing is timed",
    async (options) => {
      const { count, tried, skipped } = await run({ ranks, ...options });
      expect([count, tried, skipped]).toEqual([6, [], []]);
    },
  );

  test("what is kept is what would be written untimed, to the byte", async () => {
    const timed = await run({ ranks, unit: "macs" }, 6);
    expect(timed.tried).toEqual([6]);
    expect(timed.bytes).toEqual((await run({ ranks, unit: "macs", measure: false })).bytes);
  });
});

test("weights that are rebuilt at load take no time, and are not timed", async () => {
  const { tried, skipped } = await run(
    { ranks: "energy", energy: 0.5, budget: 0, unit: "macs" },
    0,
    "factor-dictionary",
  );
  expect([tried, skipped]).toEqual([[], []]);
});
