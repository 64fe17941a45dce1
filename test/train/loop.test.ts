/** @file The loop over a closed form in place of an engine: E = mean over rows of |p - t|^2 / 2. */
import { describe, expect, test } from "vitest";
import type { Node } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { StepSession } from "../../src/train/chunks.ts";
import { type LoopOptions, type LoopParts, resultOf, trainLoop } from "../../src/train/loop.ts";
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
  keep: "best",
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

/** Gives the mean over the known records t of |p - t|^2 / 2, and its gradient. */
const engine = (size: number): StepSession => ({
  async run(feeds, records) {
    const [p, t] = [feeds[ports.parameters].floats(), feeds.t.floats()];
    const known = Array.from({ length: records }, (_, i) => i).filter(
      (i) => !Number.isNaN(t[i * size]),
    );
    const mean = (of: (x: number) => number, k: number) =>
      known.reduce((sum, i) => sum + of(p[k] - t[i * size + k]), 0) / Math.max(1, known.length);
    const losses = Array.from(p, (_, k) => mean((x) => (x * x) / 2, k));
    const slopes = Array.from(p, (_, k) => mean((x) => x, k));
    return {
      [ports.loss]: tensor("float32", [], [losses.reduce((a, b) => a + b, 0)]),
      [ports.gradient]: tensor("float32", [size], slopes),
    };
  },
});

/**
 * Trains `parameters` towards the records' targets; each record has one number per parameter.
 * Records that start with NaN are ignored.
 */
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
      taken: targets.length,
      sessions: [engine(size)],
      async read(indices) {
        const own = indices.map((index) => targets[index]);
        const rows = own.filter(([first]) => !Number.isNaN(first)).length;
        const t = tensor("float32", [own.length, size], own.flat());
        return { feeds: { t }, records: own.length, rows };
      },
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
    const layers = [weight([1, 1]), weight([1], { name: "slow" })];
    const { values } = await run(
      layers,
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

describe("epochs", () => {
  const targets = [[1], [2], [3], [4], [10]];

  test("take every record once; the last batch has those that are left", async () => {
    const seen: number[][] = [];
    await run(
      [weight([0.5])],
      targets,
      { steps: 6, batch: 2, rate: 0 },
      {
        micro: 2,
        async read(indices) {
          seen.push([...indices]);
          const t = tensor("float32", [indices.length, 1], indices);
          return { feeds: { t }, records: indices.length, rows: indices.length };
        },
      },
    );
    expect(seen.map(({ length }) => length)).toEqual([2, 2, 1, 2, 2, 1]);
    for (const epoch of [seen.slice(0, 3), seen.slice(3)]) {
      expect(epoch.flat().sort()).toEqual([0, 1, 2, 3, 4]);
    }
  });

  test("leave out what fills no chunk where the model takes whole chunks only", async () => {
    const sizes: number[] = [];
    await run(
      [weight([0.5])],
      targets,
      { steps: 4, batch: 2, rate: 0 },
      {
        micro: 2,
        taken: 4,
        async onProgress({ records }) {
          sizes.push(records);
        },
      },
    );
    expect(sizes).toEqual([2, 2, 2, 2]);
  });

  test("a batch of unequal chunks moves by the mean over its records", async () => {
    // With a rate of 1 the weight lands on the mean of all targets.
    const { values } = await run([weight([0.5])], targets, { batch: 5 }, { micro: 2 });
    expect(values[0]).toBeCloseTo(4, 6);
  });

  test("ignored rows count neither in the mean of a chunk nor in that of the batch", async () => {
    const some = [[1], [Number.NaN], [3], [Number.NaN], [Number.NaN], [Number.NaN], [8]];
    for (const micro of [1, 2, 3, 7]) {
      const sessions = Array.from({ length: (micro % 2) + 1 }, () => engine(1));
      const { values, curve } = await run([weight([0.5])], some, { batch: 7 }, { micro, sessions });
      expect(values[0]).toBeCloseTo(4, 5);
      expect(curve[0].loss).toBeCloseTo((0.5 ** 2 + 2.5 ** 2 + 7.5 ** 2) / 2 / 3, 5);
    }
  });

  test("a batch that is ignored altogether changes nothing", async () => {
    const { values, curve } = await run([weight([0.5])], [[Number.NaN]], {});
    expect(values).toEqual([0.5]);
    expect(curve[0].loss).toBe(0);
  });

  test("the reported loss is the mean over records, of smaller batches too", async () => {
    // 600 steps give a point of the curve for every three steps, which are one epoch here.
    const { curve } = await run(
      [weight([0.5])],
      targets,
      { steps: 600, batch: 2, rate: 0 },
      { micro: 2 },
    );
    const mean = targets.reduce((sum, [t]) => sum + (t - 0.5) ** 2 / 2, 0) / 5;
    expect(curve.length).toBe(200);
    for (const { loss } of curve) expect(loss).toBeCloseTo(mean, 5);
  });
});

describe("weight decay", () => {
  /** One step with these targets equal to the start: the only slope is that of the decay. */
  const still = async (optimizer: LoopOptions["optimizer"], kind: Unplaced["kind"]) =>
    (await run([weight([2], { kind })], [[2]], { optimizer, rate: 0.1, decay: 0.5 })).values[0];

  test.each(["bias", "norm", "theta"] as const)("leaves a %s alone", async (kind) => {
    expect(await still("sgd", kind)).toBe(2);
    expect(await still("adamw", kind)).toBe(2);
  });

  test("shrinks weights: by its slope in SGD and Adam, by a share in AdamW", async () => {
    expect(await still("sgd", "weight")).toBeCloseTo(2 - 0.1 * 0.5 * 2, 6);
    // Adam's first step has the length of the rate, whatever the slope.
    expect(await still("adam", "weight")).toBeCloseTo(2 - 0.1, 6);
    expect(await still("adamw", "weight")).toBeCloseTo(2 * (1 - 0.1 * 0.5), 6);
  });

  test("is no part of the length that is clipped", async () => {
    // The slope is 0.3 + 0.8; only the loss's 0.3 counts for the limit of 0.4.
    const { values } = await run([weight([2])], [[1.7]], { rate: 1, decay: 0.4, clip: 0.4 });
    expect(values[0]).toBeCloseTo(2 - 0.3 - 0.8, 6);
  });
});

test("the moving average: new values weigh more in the first steps", async () => {
  // The weight goes 1, 5, 7, 8. Of the old average 1/10 stays, then 0.15, which is less than 2/11.
  const state = await run([weight([1])], [[9]], { steps: 3, rate: 0.5, ema: 0.15 });
  const first = 0.1 * 1 + 0.9 * 5;
  const second = 0.15 * first + 0.85 * 7;
  expect(state.average[0]).toBeCloseTo(0.15 * second + 0.85 * 8, 5);
  expect([...resultOf(state, { keep: "last", ema: 0.15 }).parameters]).toEqual([...state.average]);
});

describe("held-out records", () => {
  const scores = (...list: number[]) => {
    const asked: number[] = [];
    const score = async (parameters: Float32Array) => {
      asked.push(parameters[0]);
      return list[asked.length - 1];
    };
    return { asked, score };
  };

  test("keep the parameters of the best evaluation", async () => {
    const { asked, score } = scores(0, 1, 3, 2, 2.5);
    const options = { steps: 4, rate: 0.5 };
    const state = await run([weight([8])], [[0]], options, { score });
    expect(asked).toEqual([8, 4, 2, 1, 0.5]);
    expect(state.bestStep).toBe(2);
    expect([...resultOf(state, { keep: "best", ema: 0 }).parameters]).toEqual([2]);
    expect([...resultOf(state, { keep: "last", ema: 0 }).parameters]).toEqual([0.5]);
  });

  test("keep the start where no step is better", async () => {
    const { asked, score } = scores(3, 1, 2.5, 2);
    const state = await run([weight([8])], [[0]], { steps: 3, rate: 0.5 }, { score });
    expect(asked).toEqual([8, 4, 2, 1]);
    expect([state.bestStep, state.bestScore]).toEqual([0, 3]);
    expect([...resultOf(state, { keep: "best", ema: 0 }).parameters]).toEqual([8]);
  });

  test("are not asked about the start where the last parameters are kept", async () => {
    const { asked, score } = scores(3, 1);
    const options = { steps: 2, rate: 0.5, keep: "last" } as const;
    const state = await run([weight([8])], [[0]], options, { score });
    expect(asked).toEqual([4, 2]);
    expect([...resultOf(state, { keep: "last", ema: 0 }).parameters]).toEqual([2]);
  });

  test("end the run after `patience` evaluations without a gain", async () => {
    const { score } = scores(0, 1, 3, 3, 2, 4, 5);
    const state = await run([weight([8])], [[0]], { steps: 6, patience: 2 }, { score });
    // The evaluations of steps 3 (equal) and 4 (worse) are no gain.
    expect(state.step).toBe(4);
  });

  test("a run that is told to finish looks once more and keeps the best", async () => {
    const { asked, score } = scores(0, 1, 0.5);
    let done = 0;
    const parts = {
      score,
      isFinishing: () => done === 3,
      onProgress: async ({ step }: { step: number }) => void (done = step),
    };
    const options = { steps: 9, rate: 0.5, lookEvery: 2 };
    const state = await run([weight([8])], [[0]], options, parts);
    // 8, 4, 2 (score 1), 1; told so after step 3, it ends with step 4 (score 0.5).
    expect(state.step).toBe(4);
    expect(asked).toEqual([8, 2, 0.5]);
    expect(state.curve.at(-1)).toMatchObject({ step: 4, score: 0.5 });
    expect([...resultOf(state, { keep: "best", ema: 0 }).parameters]).toEqual([2]);
  });

  test("a score that is no number is never the best, and no gain", async () => {
    const first = await run(
      [weight([8])],
      [[0]],
      { steps: 3 },
      scores(Number.NaN, Number.NaN, 1, 2),
    );
    expect(first.bestScore).toBe(2);
    const later = await run(
      [weight([8])],
      [[0]],
      { steps: 6, patience: 2 },
      scores(0, 1, Number.NaN, Number.NaN, 5, 5, 5),
    );
    expect(later.step).toBe(3);
    expect(later.bestScore).toBe(1);
  });
});

describe("a loss that is no number", () => {
  /** The engine, whose loss or gradient is another number from call `at` on. */
  const failing = (at: number, broken: { loss?: number; gradient?: number }): StepSession => {
    let calls = 0;
    const sound = engine(1);
    return {
      async run(feeds, records) {
        const results = await sound.run(feeds, records);
        if (calls++ < at) return results;
        const { loss, gradient } = broken;
        return {
          ...results,
          ...(loss !== undefined && { [ports.loss]: tensor("float32", [], [loss]) }),
          ...(gradient !== undefined && { [ports.gradient]: tensor("float32", [1], [gradient]) }),
        };
      },
    };
  };
  // From 0 half of the way to 8 in each step: 0, 4, 6, 7.
  const train = (session: StepSession, options: Partial<LoopOptions> = {}, parts = {}) =>
    run(
      [weight([1])],
      [[9]],
      { steps: 9, rate: 0.5, ...options },
      { sessions: [session], ...parts },
    );

  test.each([
    ["NaN", { loss: Number.NaN }],
    ["infinite", { loss: Number.POSITIVE_INFINITY }],
    ["an explosion", { loss: 1e9 }],
    ["a gradient that is NaN", { gradient: Number.NaN }],
  ])("%s: the run stops with the last state whose loss was good", async (_, broken) => {
    // The weights 1, 5, 7 gave good losses; 8, from the step after, gave the broken one.
    const state = await train(failing(3, broken));
    expect(state.values).toEqual([7]);
    expect(state.step).toBe(2);
    expect(state.stopped).toMatch(
      /^training stopped at step 4: the loss .*, and the largest gradient is that of layer: the state after step 2 is kept\. Lower --rate or set --clip 1$/,
    );
  });

  test("the moving average and the best score are those of good states", async () => {
    const { average, bestScore, bestParameters } = await train(
      failing(3, { loss: Number.NaN }),
      { ema: 0.5 },
      { score: async (parameters: Float32Array) => parameters[0] },
    );
    // Averages: 1 + 9/10 of 4; then 2/11 and 3/12 of the old value.
    const first = 0.1 * 1 + 0.9 * 5;
    const second = (2 / 11) * first + (9 / 11) * 7;
    expect(average[0]).toBeCloseTo(second, 5);
    expect(bestScore).toBeGreaterThan(second);
    expect(bestParameters[0]).toBeGreaterThan(second);
  });

  test("is an error where no step has made the loss better", async () => {
    await expect(train(failing(0, { loss: Number.NaN }))).rejects.toMatchObject({
      code: "diverged",
      where: "training step 1",
    });
    await expect(train(failing(1, { loss: Number.NaN }))).rejects.toMatchObject({
      code: "diverged",
      where: "training step 2",
    });
  });
});
