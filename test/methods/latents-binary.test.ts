/** @file Weights of one and two bits: levels, scales and gradients against the papers' equations. */
import { describe, expect, test } from "vitest";
import type { MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { TrainState } from "../../src/train/state.ts";
import type { StepGraph } from "../../src/train/step.ts";
import type { Latent } from "../../src/weights/latent.ts";
import type { Composed, Leaf } from "../../src/weights/weight.ts";
import { columns, differentiate, hooksOf, rows, size, slopes, weights } from "./latents.ts";

const random = createRandom(4);
/** Latent weights after some training, among them one at 0 and two at the edge of |u| <= 1. */
const u = Float32Array.from({ length: size }, () => random.normal());
[u[3], u[20], u[37]] = [0, 1, -1];
const second = Float32Array.from({ length: size }, () => random.normal() ** 4);

/**
 * The latent, and its thetas after an update that made the latent weights `u`, Adam's second moments
 * `second`, and the others what `changes` says.
 */
async function updated(
  id: MethodId,
  given: Readonly<Record<string, unknown>>,
  changes: Readonly<Record<string, Float32Array>> = {},
) {
  const { latents, afterUpdate } = await hooksOf(id, { ends: 1, ...given });
  const [{ latent }] = latents!;
  const layout: object[] = [];
  let total = 0;
  for (const [name, { start }] of Object.entries(latent.theta)) {
    layout.push({ latent, name, offset: total, size: start.length });
    total += start.length;
  }
  const parameters = new Float32Array(total);
  const moments = new Float32Array(total);
  const thetas: Record<string, Float32Array> = {};
  let at = 0;
  for (const [name, { start }] of Object.entries(latent.theta)) {
    thetas[name] = parameters.subarray(at, at + start.length);
    thetas[name].set(name === "latent" ? u : (changes[name] ?? start));
    if (name === "latent") moments.set(second, at);
    at += start.length;
  }
  const optimizer = { slots: [new Float32Array(total), moments], scalars: new Float64Array(2) };
  afterUpdate?.(
    { parameters, optimizer } as unknown as TrainState,
    { parameters: layout } as unknown as StepGraph,
  );
  return { latent, thetas, ...differentiate(latent, { ...thetas, x: weights }, slopes) };
}

/** The stored weight has the very values that training computed with. */
function closes(latent: Latent, thetas: Readonly<Record<string, Float32Array>>, w: Float32Array) {
  const closed = latent.close(thetas, null as never) as Composed;
  expect([...closed.values]).toEqual([...w]);
  return closed;
}

const bitsOf = ({ theta }: Composed, part: string) => (theta[part] as Leaf).coding;

/** Positions in each column, which is a channel; or all of them. */
const groups = (scales: string): number[][] =>
  scales === "layer"
    ? [Array.from({ length: size }, (_, i) => i)]
    : Array.from({ length: columns }, (_, c) =>
        Array.from({ length: rows }, (_, r) => r * columns + c),
      );

describe.each(["channel", "layer"])("binarize-bwn, a scale for each %s", (scales) => {
  test("W = mean |u| sign(u), dE/du = dE/dW (1/n + alpha 1(|u| <= 1))", async () => {
    const { latent, thetas, w, gradients } = await updated("binarize-bwn", { scales });
    for (const places of groups(scales)) {
      const n = places.length;
      const alpha = places.reduce((sum, i) => sum + Math.abs(u[i]), 0) / n;
      for (const i of places) {
        expect(w[i]).toBeCloseTo(u[i] < 0 ? -alpha : alpha, 5);
        const factor = 1 / n + (Math.abs(u[i]) <= 1 ? alpha : 0);
        expect(gradients.latent[i]).toBeCloseTo(factor * slopes[i], 5);
      }
    }
    expect(bitsOf(closes(latent, thetas, w), "levels")).toEqual({ bits: 1, signed: true });
  });
});

describe.each(["channel", "layer"])("ternarize-twn, a scale for each %s", (scales) => {
  test("t = 0.7 mean |u|, alpha the mean of what is above it, gradients pass", async () => {
    const { latent, thetas, w, gradients } = await updated("ternarize-twn", { scales });
    for (const places of groups(scales)) {
      const sizes = places.map((i) => Math.abs(u[i]));
      const t = (0.7 * sizes.reduce((a, b) => a + b, 0)) / sizes.length;
      const kept = sizes.filter((x) => x > t);
      const alpha = kept.reduce((a, b) => a + b, 0) / kept.length;
      for (const i of places) {
        expect(w[i]).toBeCloseTo(u[i] > t ? alpha : u[i] < -t ? -alpha : 0, 5);
        expect(gradients.latent[i]).toBeCloseTo(slopes[i], 6);
      }
    }
    expect(bitsOf(closes(latent, thetas, w), "levels")).toEqual({ bits: 2, signed: true });
  });
});

test("ternarize-ttq: two levels, their gradients (eq. 7) and those of latent weights (eq. 8)", async () => {
  const share = 0.2;
  const [up, down] = [Float32Array.of(1.5), Float32Array.of(0.25)];
  const first = Math.max(...weights.map(Math.abs)) * share;
  const above = weights.map(Math.abs).filter((x) => x > first);
  const unit = above.reduce((a, b) => a + b, 0) / above.length;
  const found = await updated("ternarize-ttq", { threshold: share }, { up, down });
  const { latent, thetas, w, gradients } = found;
  const t = Math.max(...u.map(Math.abs)) * share;
  let [sumUp, sumDown] = [0, 0];
  for (let i = 0; i < size; i++) {
    const [isUp, isDown] = [u[i] > t, u[i] < -t];
    expect(w[i]).toBeCloseTo(unit * (isUp ? 1.5 : isDown ? -0.25 : 0), 5);
    const factor = isUp ? 1.5 : isDown ? 0.25 : 1;
    expect(gradients.latent[i]).toBeCloseTo(unit * factor * slopes[i], 5);
    if (isUp) sumUp += slopes[i];
    if (isDown) sumDown -= slopes[i];
  }
  expect(gradients.up[0]).toBeCloseTo(unit * sumUp, 4);
  expect(gradients.down[0]).toBeCloseTo(unit * sumDown, 4);
  const closed = closes(latent, thetas, w);
  expect(bitsOf(closed, "index")).toEqual({ bits: 2, signed: false });
  expect(closed.theta.codebook.values).toHaveLength(3);
  // Both levels start as the mean magnitude of their side.
  const starts = await hooksOf("ternarize-ttq", { threshold: share, ends: 1 });
  const own = weights.filter((x) => x > first);
  const start = starts.latents![0].latent.theta.up.start[0];
  expect(start * unit).toBeCloseTo(own.reduce((a, b) => a + b, 0) / own.length, 5);
});

describe.each(["channel", "layer"])("binarize-loss-aware, a scale for each %s", (scales) => {
  const d = second.map((v) => Math.sqrt(v));
  /** What the projection minimizes: sum d (u - w)^2. */
  const cost = (places: readonly number[], w: (i: number) => number) =>
    places.reduce((sum, i) => sum + d[i] * (u[i] - w(i)) ** 2, 0);

  test("binary: no other scale and no other sign is nearer, gradients pass", async () => {
    const given = { scales };
    const { latent, thetas, w, gradients } = await updated("binarize-loss-aware", given);
    for (const places of groups(scales)) {
      const least = cost(places, (i) => w[i]);
      const alpha = Math.abs(w[places[0]]);
      expect(places.every((i) => Math.abs(w[i]) === alpha)).toBe(true);
      const sign = (i: number): number => (u[i] < 0 ? -1 : 1);
      for (let a = 0.01; a < 3; a += 0.01) {
        expect(cost(places, (i) => a * sign(i))).toBeGreaterThan(least - 1e-6);
      }
      for (const flipped of places) {
        const other = (i: number) => (i === flipped ? -w[i] : w[i]);
        expect(cost(places, other)).toBeGreaterThan(least - 1e-6);
      }
    }
    for (let i = 0; i < size; i++) expect(gradients.latent[i]).toBeCloseTo(slopes[i], 6);
    expect(bitsOf(closes(latent, thetas, w), "levels")).toEqual({ bits: 1, signed: true });
    // It is not the plain mean of BWN.
    const mean = u.reduce((sum, x) => sum + Math.abs(x), 0) / size;
    if (scales === "layer") expect(Math.abs(Math.abs(w[0]) - mean)).toBeGreaterThan(0.05);
  });

  test("ternary: no other scale and no other level of one weight is nearer", async () => {
    const { latent, thetas, w } = await updated("binarize-loss-aware", { scales, bits: 2 });
    for (const places of groups(scales)) {
      const least = cost(places, (i) => w[i]);
      const alpha = Math.max(...places.map((i) => Math.abs(w[i])));
      for (let a = 0.01; a < 3; a += 0.01) {
        const other = (i: number) => Math.sign(w[i]) * a;
        expect(cost(places, other)).toBeGreaterThan(least - 1e-6);
      }
      for (const changed of places) {
        for (const level of [-alpha, 0, alpha]) {
          const other = (i: number) => (i === changed ? level : w[i]);
          expect(cost(places, other)).toBeGreaterThan(least - 1e-6);
        }
      }
    }
    expect(w.some((x) => x === 0)).toBe(true);
    expect(bitsOf(closes(latent, thetas, w), "levels")).toEqual({ bits: 2, signed: true });
  });
});
