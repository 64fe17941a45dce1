/** @file Pools that are trained: places drawn for S3Pool, and means that keep details. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { drawPlaces, openPools } from "../../src/learned/pooling.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(3);
const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());
const [C, H, W] = [2, 6, 8];
const K = normal(C * C);
const V = normal(C * 3);

/** Scores of a mean over a pooled map. */
const model = (op: "MaxPool" | "AveragePool", attributes: object) =>
  layerModel(["N", C, H, W], (g, x) => {
    const map = g.Conv(x, g.constant(K, { shape: [C, C, 1, 1] }));
    const y = g[op](map, attributes as { kernel_shape: number[] });
    const mean = g.ReduceMean(y, g.ints([2, 3], "axes"), { keepdims: 0 });
    return g.MatMul(mean, g.constant(V, { shape: [C, 3] }));
  });
const tiling = { kernel_shape: [2, 2], strides: [2, 2] };

describe("S3Pool", () => {
  test("draws as many places of each run as it has strides, in order", () => {
    const draw = createRandom(5);
    const seen = new Set<number>();
    for (let i = 0; i < 50; i++) {
      const places = drawPlaces(5, 2, 10, 2, draw);
      expect(places.length).toBe(5);
      for (const [at, place] of places.entries()) {
        seen.add(place);
        const from = 4 * Math.floor(at / 2);
        expect(place).toBeGreaterThanOrEqual(from);
        expect(place).toBeLessThan(Math.min(from + 4, 10));
        if (at % 2) expect(place).toBeGreaterThan(places[at - 1]);
      }
    }
    expect(seen.size).toBe(10);
    // A window that hangs over the map begins at its last position.
    expect(drawPlaces(3, 2, 4, 1, draw).at(-1)).toBe(3);
  });

  test("pools with stride 1, then takes the places", async () => {
    const net = model("MaxPool", { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 1, 0] });
    const [{ latent, value }] = openPools(net, 2);
    const g = build(net.graph);
    const places = { axis0: [0, 2, 5], axis1: [1, 2, 4, 6] };
    const feeds = Object.fromEntries(
      Object.entries(places).map(([name, at]) => [name, g.ints(at)]),
    );
    net.graph.setOutputs([latent.build(g, {}, value, feeds)]);
    net.graph.outputs[0].name = "out";
    const x = normal(C * H * W);
    const { out } = await outputsOf(concat(writeModel(net)), {
      x: tensor("float32", [1, C, H, W], x),
    });
    expect(out.shape).toEqual([1, C, 3, 4]);
    const map = (c: number, i: number, j: number) => {
      if (i < 0 || i >= H) return Number.NEGATIVE_INFINITY;
      let sum = 0;
      for (let d = 0; d < C; d++) sum += K[c * C + d] * x[(d * H + i) * W + j];
      return sum;
    };
    for (let c = 0; c < C; c++)
      for (const [r, i] of places.axis0.entries())
        for (const [s, j] of places.axis1.entries()) {
          const window = [-1, 0, 1].flatMap((p) => [0, 1].map((q) => map(c, i + p, j + q)));
          expect(out.floats()[(c * 3 + r) * 4 + s]).toBeCloseTo(Math.max(...window), 5);
        }
  });

  test("leaves the model's nodes as they are", async () => {
    const x = normal(8 * C * H * W);
    const training = tensorDataset({ x: tensor("float32", [8, C, H, W], x) });
    const net = model("MaxPool", tiling);
    const teacher = model("AveragePool", tiling);
    const env = environmentOf(nets[0], { calibration: null, training, teacher });
    const options = { loss: "logits", steps: 2, batch: 4, holdout: 0, s3pool: 1 };
    const ops = ({ graph }: typeof net) => graph.sorted().map(({ op }) => op);
    const { model: drawn } = await apply(net, "train", options, env);
    const { model: plain } = await apply(net, "train", { ...options, s3pool: 0 }, env);
    expect(ops(drawn)).toEqual(ops(net));
    const bytes = [drawn, plain].map((one) => Buffer.from(concat(writeModel(one))));
    expect(bytes[0].equals(bytes[1])).toBe(false);
  });
});

describe("pool-detail", () => {
  const x = normal(4 * C * H * W);
  const given = { x: tensor("float32", [4, C, H, W], x) };
  const still = { loss: "logits", steps: 1, batch: 4, rate: 1e-9 } as const;
  const envOf = (teacher: ReturnType<typeof model>) =>
    environmentOf(nets[0], { calibration: null, training: tensorDataset(given), teacher });

  test("starts as the mean in the place of a mean", async () => {
    const net = model("AveragePool", tiling);
    const before = await outputsOf(concat(writeModel(net)), given);
    const { bytes, model: made } = await apply(net, "pool-detail", still, envOf(net));
    expect(made.graph.sorted().some(({ op }) => op === "AveragePool")).toBe(false);
    const after = await outputsOf(bytes, given);
    for (const [i, y] of before.y.floats().entries()) {
      expect(after.y.floats()[i]).toBeCloseTo(y, 4);
    }
  });

  test("weighs what lies above the mean by its power", async () => {
    const net = model("MaxPool", tiling);
    const lambda = 3;
    const { bytes } = await apply(net, "pool-detail", { ...still, lambda }, envOf(net));
    const { y } = await outputsOf(bytes, given);
    for (let n = 0; n < 4; n++) {
      const means = Array.from({ length: C }, (_, c) => {
        let total = 0;
        for (let at = 0; at < (H * W) / 4; at++) {
          const [i, j] = [2 * Math.floor(at / (W / 2)), 2 * (at % (W / 2))];
          const window = [0, 1, 2, 3].map((q) => {
            let sum = 0;
            for (let d = 0; d < C; d++) {
              const place = ((n * C + d) * H + i + (q >> 1)) * W + j + (q & 1);
              sum += K[c * C + d] * x[place];
            }
            return sum;
          });
          const mean = window.reduce((a, b) => a + b) / 4;
          const weights = window.map((v) => Math.hypot(Math.max(0, v - mean), 1e-3) ** lambda);
          const whole = weights.reduce((a, b) => a + b);
          total += window.reduce((sum, v, q) => sum + v * weights[q], 0) / whole;
        }
        return total / ((H * W) / 4);
      });
      for (let o = 0; o < 3; o++) {
        const expected = means.reduce((sum, m, c) => sum + m * V[c * 3 + o], 0);
        expect(y.floats()[n * 3 + o]).toBeCloseTo(expected, 3);
      }
    }
  });

  test("learns both numbers of each channel, and leaves overlapping windows alone", async () => {
    const net = model("MaxPool", tiling);
    const options = { ...still, steps: 3, rate: 0.05 };
    const { model: made } = await apply(
      net,
      "pool-detail",
      options,
      envOf(model("AveragePool", tiling)),
    );
    const learned = [...made.graph.constants].filter(({ tensor }) => tensor?.shape.length === 6);
    expect(learned.length).toBe(2);
    for (const { tensor } of learned) {
      expect(tensor?.floats().every((value) => value !== 4 && value >= 0)).toBe(true);
    }
    const overlapping = model("MaxPool", { kernel_shape: [3, 3], strides: [2, 2] });
    const { skipped } = await apply(overlapping, "pool-detail", still, envOf(net));
    expect(skipped[0].reason).toMatch(/overlap/);
  });
});
