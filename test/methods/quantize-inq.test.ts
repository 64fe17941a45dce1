/** @file INQ: levels, what is rounded when, and what still learns, against the paper's equations. */
import { describe, expect, test } from "vitest";
import type { TrainState } from "../../src/train/state.ts";
import type { StepGraph } from "../../src/train/step.ts";
import type { Composed, Leaf } from "../../src/weights/weight.ts";
import { differentiate, hooksOf, random, size, slopes, weights } from "./latents.ts";

/** Equations 1 to 3, with s = max |W|. */
function levelsOf(bits: number): number[] {
  const s = Math.max(...weights.map(Math.abs));
  const n1 = Math.floor(Math.log2((4 * s) / 3));
  const n2 = n1 + 1 - 2 ** (bits - 1) / 2;
  const powers = Array.from({ length: n1 - n2 + 1 }, (_, i) => 2 ** (n2 + i));
  return [...powers.map((p) => -p), 0, ...powers];
}

const nearest = (levels: readonly number[], w: number): number =>
  levels.reduce((a, b) => (Math.abs(b - w) < Math.abs(a - w) ? b : a));

describe.each([2, 3, 5])("%i bits", (bits) => {
  test("half of the weights, the largest, are at their nearest level from the start", async () => {
    const { latents } = await hooksOf("quantize-inq", { bits });
    const [{ latent }] = latents!;
    const levels = levelsOf(bits);
    const middle = [...weights].map(Math.abs).sort((a, b) => b - a)[size / 2];
    const starts = Object.entries(latent.theta).map(([name, { start }]) => [name, start]);
    const { w, gradients } = differentiate(
      latent,
      { ...Object.fromEntries(starts), x: weights },
      slopes,
    );
    for (let i = 0; i < size; i++) {
      const isFixed = Math.abs(weights[i]) > middle;
      expect(w[i]).toBeCloseTo(isFixed ? nearest(levels, weights[i]) : weights[i], 7);
      expect(gradients.latent[i]).toBeCloseTo(isFixed ? 0 : slopes[i], 7);
    }
  });
});

test("stages fix 1/2, 3/4, 7/8 and all; what is fixed stays, what learns is rounded as it then is", async () => {
  const { latents, begin, afterUpdate } = await hooksOf("quantize-inq", { bits: 4 });
  const [{ latent }] = latents!;
  const levels = levelsOf(4);
  const names = Object.keys(latent.theta);
  const parameters = new Float32Array(names.length * size);
  const thetas = Object.fromEntries(
    names.map((name, i) => [name, parameters.subarray(i * size, (i + 1) * size)]),
  );
  for (const name of names) thetas[name].set(latent.theta[name].start);
  const layout = names.map((name, i) => ({ latent, name, offset: i * size, size }));
  const stepGraph = { parameters: layout } as unknown as StepGraph;
  begin!(8);
  const shares: number[] = [];
  for (let step = 0; step < 8; step++) {
    const before = thetas.level.map((level, i) => (thetas.fixed[i] ? level : Number.NaN));
    // The optimizer's momentum may move weights that are fixed; they must not come back.
    for (let i = 0; i < size; i++) thetas.latent[i] += 0.01 * random.normal();
    afterUpdate!({ step, parameters } as unknown as TrainState, stepGraph);
    for (let i = 0; i < size; i++) {
      if (!Number.isNaN(before[i])) expect(thetas.level[i]).toBe(before[i]);
      else if (thetas.fixed[i]) expect(thetas.level[i]).toBe(nearest(levels, thetas.latent[i]));
    }
    shares.push(thetas.fixed.reduce((sum, x) => sum + x, 0) / size);
  }
  expect(shares).toEqual([0.5, 0.75, 0.75, 0.875, 0.875, 1, 1, 1]);
  const { w } = differentiate(latent, { ...thetas, x: weights }, slopes);
  const closed = latent.close(thetas, null as never) as Composed;
  expect([...closed.values]).toEqual([...w]);
  const entries = [...(closed.theta.codebook as Leaf).values];
  expect(entries[0]).toBe(0);
  for (const entry of entries) expect(levels).toContain(entry);
  expect((closed.theta.index as Leaf).coding).toMatchObject({ bits: 4 });
});
