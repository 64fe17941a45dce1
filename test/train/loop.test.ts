/** @file The loop over a closed form in place of an engine: E = mean over records of |p - t|^2 / 2. */
import { describe, expect, test } from "vitest";
import type { Node } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type LoopOptions, type LoopParts, trainLoop } from "../../src/train/loop.ts";
import { laidOut, type Unplaced } from "../../src/train/parameters.ts";
import { plainChoice } from "../../src/train/state.ts";
import { ports, type StepGraph } from "../../src/train/step.ts";

const plain: LoopOptions = {
  steps: 1,
  batch: 1,
  optimizer: "sgd",
  rate: 1,
  schedule: "constant",
  warmup: 0,
  drop: 1,
  drops: 0,
  momentum: 0,
  beta2: 0.999,
  decay: 0,
  clip: 0,
  ema: 0,
  lookEvery: 1,
  patience: 0,
  keep: "last",
  seed: 1,
};

/** A weight that starts at these numbers; exact zeros were pruned. */
const weight = (start: readonly number[], given: Partial<Unplaced> = {}): Unplaced => ({
  value: null,
  latent: null,
  name: "w",
  node: { name: "layer" } as Node,
  kind: "weight",
  shape: [start.length],
  start: Float32Array.from(start),
  rate: 1,
  min: Number.NEGATIVE_INFINITY,
  max: Number.POSITIVE_INFINITY,
  keepsZeros: true,
  ...given,
});

/** Trains `parameters` towards the records' targets; each record has one number per parameter. */
async function run(
  parameters: readonly Unplaced[],
  targets: readonly (readonly number[])[],
  options: Partial<LoopOptions>,
  parts: Partial<LoopParts> = {},
) {
  const step = { parameters: laidOut(parameters), statistics: [] } as unknown as StepGraph;
  const size = targets[0].length;
  const state = await trainLoop(
    {
      step,
      micro: 1,
      records: targets.length,
      sessions: [
        {
          async run(feeds) {
            const [p, t] = [feeds[ports.parameters].floats(), feeds.t.floats()];
            const slope = Float32Array.from(p, (x, k) => x - t[k]);
            const loss = slope.reduce((sum, x) => sum + x * x, 0) / 2;
            return {
              [ports.loss]: tensor("float32", [], [loss]),
              [ports.gradient]: tensor("float32", [size], slope),
            };
          },
        },
      ],
      read: async ([index]) => ({ t: tensor("float32", [size], targets[index]) }),
      score: null,
      onProgress: async () => {},
      save: null,
      saveEvery: 100,
      resume: null,
      key: "",
      computeChoice: plainChoice,
      where: "memory",
      ...parts,
    },
    { ...plain, ...options },
  );
  return { ...state, values: [...state.parameters] };
}

describe("clipping", () => {
  test("takes the length of what is applied: pruned weights do not count", async () => {
    // The slopes are -3, -100, -4; the second weight was pruned. What is left has the length 5.
    const { values } = await run([weight([1, 0, 1])], [[4, 100, 5]], { clip: 1 });
    expect(values[0]).toBeCloseTo(1 + 3 / 5, 6);
    expect(values[1]).toBe(0);
    expect(values[2]).toBeCloseTo(1 + 4 / 5, 6);
  });

  test("leaves a gradient alone that is short without the pruned weights", async () => {
    const { values } = await run([weight([1, 0, 1])], [[4, 100, 5]], { clip: 5 });
    expect(values).toEqual([4, 0, 5]);
  });

  test("does not count layers whose learning rate is 0", async () => {
    const names = [weight([1, 1]), weight([1], { name: "slow" })];
    const { values } = await run(
      names,
      [[4, 5, 100]],
      { clip: 1 },
      { rateOf: ({ name }) => (name === "slow" ? 0 : 1) },
    );
    expect(values[0]).toBeCloseTo(1 + 3 / 5, 6);
    expect(values[2]).toBe(1);
  });

  test("counts what the method adds to the gradient", async () => {
    // The method's price turns the slopes -3, -4 into 6, 8: the length is 10.
    const { values } = await run(
      [weight([1, 1])],
      [[4, 5]],
      { clip: 1 },
      {
        beforeUpdate(gradient) {
          gradient[0] += 9;
          gradient[1] += 12;
        },
      },
    );
    expect(values[0]).toBeCloseTo(1 - 6 / 10, 6);
    expect(values[1]).toBeCloseTo(1 - 8 / 10, 6);
  });
});
