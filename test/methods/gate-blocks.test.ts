/** @file Gated blocks: which records skip a block, what they get, and that others get what they got. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(4);
const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());

const WIDTH = 8;
const DOWN = normal(WIDTH * WIDTH);
const SCORES = normal(WIDTH * 3);

/** y = Relu(x + D Relu(U x)), U reading feature 0 alone: the block adds nothing where it is <= 0. */
const model = layerModel(["N", WIDTH], (g: Builder, x: Value) => {
  const up = new Float32Array(WIDTH * WIDTH);
  up.fill(2, 0, WIDTH);
  const f = g.MatMul(
    g.Relu(g.MatMul(x, g.constant(up, { shape: [WIDTH, WIDTH] }))),
    g.constant(DOWN, { shape: [WIDTH, WIDTH] }),
  );
  return g.MatMul(g.Relu(g.Add(x, f)), g.constant(SCORES, { shape: [WIDTH, 3] }));
});

/** Scores of one record, with or without the block. */
function scores(x: Float32Array, runs: boolean): number[] {
  const hidden = Math.max(0, 2 * x[0]);
  const y = [...x].map((value, i) => {
    let f = 0;
    for (let j = 0; j < WIDTH; j++) f += hidden * DOWN[j * WIDTH + i];
    return Math.max(0, value + (runs ? f : 0));
  });
  return [0, 1, 2].map((c) => y.reduce((sum, v, i) => sum + v * SCORES[i * 3 + c], 0));
}

describe("a block that half of the records do not need", () => {
  const records = 200;
  const x = normal(records * WIDTH);
  const env = environmentOf(nets[0], {
    calibration: tensorDataset({ x: tensor("float32", [records, WIDTH], x) }),
    feeds: { x: tensor("float32", [1, WIDTH], x.slice(0, WIDTH)) },
  });

  test("is skipped for these, one by one, and runs for all others", async () => {
    const { bytes, warnings } = await apply(model, "gate-blocks", { flips: 0 }, env);
    expect(warnings.join()).toMatch(/skipped on held-out records: layer1 \d/);
    let skipped = 0;
    for (let n = 0; n < 40; n++) {
      const row = x.slice(n * WIDTH, (n + 1) * WIDTH);
      const { y } = await outputsOf(bytes, { x: tensor("float32", [1, WIDTH], row) });
      const error = (runs: boolean) =>
        Math.max(...scores(row, runs).map((s, c) => Math.abs(s - y.floats()[c])));
      expect(Math.min(error(true), error(false))).toBeLessThan(1e-4);
      if (error(false) > 1e-4) continue;
      // Where both agree the gate cannot be seen; with a positive feature it must have run.
      if (error(true) > 1e-4) expect(row[0]).toBeLessThan(0.3);
      skipped++;
    }
    expect(skipped).toBeGreaterThan(10);
  });

  test("runs for a batch if one of its records wants it", async () => {
    const { bytes } = await apply(model, "gate-blocks", { flips: 0 }, env);
    const rows = [normal(WIDTH), normal(WIDTH)];
    [rows[0][0], rows[1][0]] = [-2, 3];
    const { y } = await outputsOf(bytes, {
      x: tensor("float32", [2, WIDTH], Float32Array.from([...rows[0], ...rows[1]])),
    });
    const expected = rows.flatMap((row) => scores(row, true));
    for (const [i, value] of expected.entries()) expect(y.floats()[i]).toBeCloseTo(value, 3);
  });

  test("is refused where nothing tells classes apart", async () => {
    const many = layerModel(["N", 4, WIDTH], (g, v) =>
      g.Add(v, g.MatMul(v, g.constant(DOWN, { shape: [WIDTH, WIDTH] }))),
    );
    const given = environmentOf(nets[0], {
      calibration: tensorDataset({ x: tensor("float32", [4, 4, WIDTH], normal(16 * WIDTH)) }),
      feeds: { x: tensor("float32", [1, 4, WIDTH], normal(4 * WIDTH)) },
    });
    const { skipped } = await applyRecipe(many, parseRecipe("gate-blocks"), given);
    expect(skipped[0].reason).toMatch(/one float32 score per class/);
  });
});
