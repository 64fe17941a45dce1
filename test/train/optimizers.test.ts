/** @file Optimizers and schedules against PyTorch 2.13 and closed forms. */
import { expect, test } from "vitest";
import {
  average,
  clip,
  norm,
  type OptimizerId,
  optimizers,
  startState,
} from "../../src/train/optimizers.ts";
import { rateFactor } from "../../src/train/schedules.ts";

const gradients = [
  [0.5, -1, 0.25],
  [0.1, 0.3, -2],
  [-0.7, 0.2, 0.9],
];

/** torch.optim, float64, lr 0.1, momentum 0.9, weight_decay 0.01, from [1, -2, 0.5]. */
const torch: Record<OptimizerId, number[]> = {
  sgd: [0.9100947489999999, -1.795139498, 0.7193423745],
  nesterov: [0.926465558191, -1.760250616382, 0.7805427290955],
  adam: [0.8322372671484185, -1.8318349550971131, 0.4851754490675416],
  adamw: [0.8321058379607779, -1.8310127735702886, 0.48436271775726586],
};

const hyper = { momentum: 0.9, beta2: 0.999, epsilon: 1e-8 };

for (const [id, expected] of Object.entries(torch) as [OptimizerId, number[]][]) {
  test(`${id} is PyTorch's`, () => {
    const p = Float32Array.of(1, -2, 0.5);
    const state = startState(id, 3);
    const segments = [
      { from: 0, to: 2, rate: 0.1, decay: 0.01 },
      { from: 2, to: 3, rate: 0.1, decay: 0.01 },
    ];
    for (const g of gradients) {
      optimizers[id].update(p, Float32Array.from(g), state, segments, hyper);
    }
    for (const [i, value] of expected.entries()) expect(p[i]).toBeCloseTo(value, 6);
  });
}

test("segments have rates and decays of their own", () => {
  const p = Float32Array.of(1, 1, 1);
  const segments = [
    { from: 0, to: 1, rate: 0.1, decay: 0 },
    { from: 1, to: 2, rate: 0.2, decay: 0.5 },
  ];
  optimizers.sgd.update(p, Float32Array.of(1, 1, 1), startState("sgd", 3), segments, hyper);
  expect([...p].map((x) => Math.round(x * 1e6) / 1e6)).toEqual([0.9, 0.7, 1]);
});

test("a long gradient is cut, a short one is not", () => {
  const g = Float32Array.of(3, 4);
  expect(norm(g)).toBe(5);
  clip(g, 5, 10);
  expect([...g]).toEqual([3, 4]);
  clip(g, 5, 1);
  expect(norm(g)).toBeCloseTo(1, 6);
  expect(g[1] / g[0]).toBeCloseTo(4 / 3, 6);
});

test("the average keeps a share of the old", () => {
  const mean = Float32Array.of(1, 0);
  average(mean, Float32Array.of(0, 1), 0.75);
  expect([...mean]).toEqual([0.75, 0.25]);
});

test("the schedule step drops at every exact part of a run, as PyTorch's StepLR", () => {
  for (const drops of [1, 2, 6, 48, 97]) {
    const total = 7 * (drops + 1);
    for (let step = 0; step < total; step++) {
      const options = { warmup: 0, drop: 0.5, drops };
      expect(rateFactor("step", step, total, options)).toBe(0.5 ** Math.floor(step / 7));
    }
  }
});

test("the first and the last step, as PyTorch's schedulers with T_max and total_iters = steps", () => {
  const options = { warmup: 0, drop: 0.1, drops: 2 };
  // CosineAnnealingLR(T_max=10, eta_min=0), LinearLR(1, 0, total_iters=10).
  expect(rateFactor("cosine", 0, 10, options)).toBe(1);
  expect(rateFactor("cosine", 9, 10, options)).toBeCloseTo(0.0244717418524, 12);
  expect(rateFactor("linear", 0, 10, options)).toBe(1);
  expect(rateFactor("linear", 9, 10, options)).toBeCloseTo(0.1, 12);
  expect(rateFactor("one-cycle", 0, 10, options)).toBeCloseTo(0.04, 12);
  // A warm-up that is longer than the run rises to its last step, and nothing is divided by zero.
  expect(rateFactor("cosine", 9, 10, { ...options, warmup: 20 })).toBeCloseTo(10 / 21, 12);
});

test("schedules: warm-up, and where they begin, turn and end", () => {
  const options = { warmup: 4, drop: 0.1, drops: 2 };
  const at = (id: Parameters<typeof rateFactor>[0], step: number) =>
    rateFactor(id, step, 104, options);
  expect([0, 1, 2, 3].map((step) => at("cosine", step))).toEqual([0.2, 0.4, 0.6, 0.8]);
  expect(at("cosine", 4)).toBe(1);
  expect(at("cosine", 54)).toBeCloseTo(0.5, 12);
  expect(at("cosine", 104)).toBeCloseTo(0, 12);
  expect(at("constant", 90)).toBe(1);
  expect(at("linear", 29)).toBeCloseTo(0.75, 12);
  expect([4, 37, 38, 70, 71, 103].map((step) => Math.round(at("step", step) * 1e4) / 1e4)).toEqual([
    1, 1, 0.1, 0.1, 0.01, 0.01,
  ]);
  expect(at("one-cycle", 4)).toBeCloseTo(0.04, 12);
  expect(at("one-cycle", 34)).toBeCloseTo(1, 12);
  expect(at("one-cycle", 104)).toBeCloseTo(0, 12);
});
