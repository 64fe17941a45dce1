/** @file Channels that disappear: dead ones without a trace, others by their worth, and what repairs them. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { costModel } from "../../src/ops/cost.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { nodeCpu } from "../../src/targets/node-cpu.ts";
import { webWasm } from "../../src/targets/web-wasm.ts";
import { type Applied, apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";
import { type RealModel, realModels } from "../support/real-models.ts";
import { pruneReal } from "./prune-real.ts";

const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));
const reasonsOf = ({ skipped }: Applied): string[] =>
  skipped.map(({ node, reason }) => `${node}: ${reason}`);

/** Weight shapes by layer. */
const shapesOf = (model: Model): Record<string, string> => {
  inferModel(model);
  return Object.fromEntries(
    weightsOf(model).map(({ node, value }) => [node.name, String(value.shape)]),
  );
};

describe("dead channels, ratio 0", () => {
  /** Filters of 4 input channels; `spoil` may set some to zero. */
  const net = (
    pads: number[],
    spoil: (first: Float32Array, second: Float32Array, bias: Float32Array) => void,
  ): { model: Model; feeds: Record<string, Tensor> } => {
    const random = createRandom(3);
    const numbers = (size: number): Float32Array =>
      Float32Array.from({ length: size }, () => random.normal());
    const [first, second, bias] = [numbers(8 * 3 * 9), numbers(5 * 8 * 9), numbers(8)];
    spoil(first, second, bias);
    const model = layerModel(["N", 3, 9, 9], (g, x) => {
      const y = g.Conv(x, g.constant(first, { shape: [8, 3, 3, 3] }), g.constant(bias), {
        pads: [1, 1, 1, 1],
      });
      return g.Conv(g.Sigmoid(y), g.constant(second, { shape: [5, 8, 3, 3] }), null, { pads });
    });
    return { model, feeds: { x: tensor("float32", [2, 3, 9, 9], numbers(2 * 3 * 81)) } };
  };
  const clear = (array: Float32Array, from: number, to: number): void =>
    void array.fill(0, from, to);

  async function prune(
    pads: number[],
    spoil: Parameters<typeof net>[1],
    round = 0,
  ): Promise<Applied> {
    const { model, feeds } = net(pads, spoil);
    const options = { ratio: 0, round };
    const result = await apply(model, "prune-channels", options, environmentOf(nets[0]));
    const outputs = [bytesOf(model), result.bytes].map((bytes) => outputsOf(bytes, feeds));
    expect(relativeError(await outputs[0], await outputs[1])).toBeLessThan(1e-5);
    return result;
  }
  const none = [0, 0, 0, 0];
  const padded = [1, 1, 1, 1];

  test("what nobody reads goes", async () => {
    const { model } = await prune(padded, (_, second) => {
      for (let f = 0; f < 5; f++)
        for (const c of [2, 5]) clear(second, (f * 8 + c) * 9, (f * 8 + c + 1) * 9);
    });
    expect(shapesOf(model)).toEqual({ layer1: "6,3,3,3", layer3: "5,6,3,3" });
  });

  test("as many dead ones stay as fill a block, where that is asked for", async () => {
    const spoil: Parameters<typeof net>[1] = (first) => clear(first, 0, 5 * 27);
    const kept = async (round: number): Promise<string> =>
      shapesOf((await prune(none, spoil, round)).model).layer1;
    expect(await kept(0)).toBe("3,3,3,3");
    expect(await kept(4)).toBe("4,3,3,3");
    expect(await kept(8)).toBe("8,3,3,3");
    const { warnings } = await prune(none, spoil);
    expect(warnings.join()).toMatch(/keeps 3 of 8 channels, the others being dead/);
  });

  test("a filter of zeros gives a constant, which the next bias takes", async () => {
    const { model } = await prune(none, (first) => clear(first, 3 * 27, 5 * 27));
    expect(shapesOf(model)).toEqual({ layer1: "6,3,3,3", layer3: "5,6,3,3" });
  });

  test("but not where padding cuts it off at the rim", async () => {
    const { model } = await prune(padded, (first) => clear(first, 3 * 27, 5 * 27));
    expect(shapesOf(model)).toEqual({ layer1: "8,3,3,3", layer3: "5,8,3,3" });
  });

  test("a constant of zero is nothing, padding or not", async () => {
    const relu = layerModel(["N", 3, 6, 6], (g, x) => {
      const weights = (shape: number[], f: (i: number) => number): Value =>
        g.constant(
          Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => f(i)),
          { shape },
        );
      const y = g.Conv(
        x,
        weights([4, 3, 1, 1], (i) => (i < 6 ? 0 : 1 + i)),
        g.constant([0, -2, 1, 1]),
      );
      return g.Conv(
        g.Relu(y),
        weights([2, 4, 3, 3], (i) => i / 9),
        null,
        { pads: padded },
      );
    });
    const { model } = await apply(relu, "prune-channels", { ratio: 0 }, environmentOf(nets[0]));
    expect(shapesOf(model)).toEqual({ layer1: "2,3,1,1", layer3: "2,2,3,3" });
  });

  test("layers without a bias of their own, returned or transposed, take a constant too", async () => {
    const random = createRandom(4);
    const numbers = (size: number): Float32Array =>
      Float32Array.from({ length: size }, () => random.normal());
    const x = tensor("float32", [3, 5], numbers(15));
    const readers: ((g: Builder, y: Value) => Value)[] = [
      (g, y) => g.MatMul(y, g.constant(numbers(24), { shape: [6, 4] })),
      (g, y) =>
        g.Gemm(y, g.constant(numbers(24), { shape: [4, 6] }), g.constant(numbers(1)), {
          transB: 1,
          alpha: 0.5,
        }),
      (g, y) =>
        g.Gemm(y, g.constant(numbers(24), { shape: [6, 4] }), g.constant(numbers(4)), {
          alpha: 0.5,
          beta: 2,
        }),
      (g, y) =>
        g.Gemm(g.constant(numbers(24), { shape: [6, 4] }), y, null, { transA: 1, transB: 1 }),
    ];
    for (const [i, read] of readers.entries()) {
      const first = numbers(30).map((w, at) => (at % 6 < 2 ? 0 : w));
      const model = layerModel(["N", 5], (g, value) => {
        const y = g.Add(
          g.MatMul(value, g.constant(first, { shape: [5, 6] })),
          g.constant(numbers(6)),
        );
        return read(g, g.Softplus(y));
      });
      const result = await apply(model, "prune-channels", { ratio: 0 }, environmentOf(nets[0]));
      const outputs = [bytesOf(model), result.bytes].map((bytes) => outputsOf(bytes, { x }));
      expect(relativeError(await outputs[0], await outputs[1])).toBeLessThan(1e-5);
      // The last one reads from the right: its outputs are columns, which no bias shifts.
      expect(shapesOf(result.model).layer1).toBe(i === 3 ? "5,6" : "5,4");
    }
  });

  test("a model without any stays as it is, byte for byte", async () => {
    for (const { model } of nets) {
      const { bytes } = await apply(model, "prune-channels", { ratio: 0 }, environmentOf(nets[0]));
      expect(Buffer.compare(bytes, bytesOf(model))).toBe(0);
    }
  });

  test("who ignores a channel that others need is named", async () => {
    const model = layerModel(["N", 4], (g, x) => {
      const weight = (rows: number, zeros: number): Value =>
        g.constant(
          Float32Array.from({ length: rows * 4 }, (_, i) => (i < zeros * 4 ? 0 : 1 + i)),
          { shape: [rows, 4] },
        );
      const hidden = g.Relu(g.MatMul(x, weight(4, 0)));
      return g.Add(g.MatMul(hidden, weight(4, 2)), g.MatMul(hidden, weight(4, 0)));
    });
    const result = await apply(model, "prune-channels", { ratio: 0 }, environmentOf(nets[0]));
    expect(reasonsOf(result)).toContain(
      "layer3: keeps 2 input channels with zero weights: layer4 read what it ignores",
    );
  });
});

describe("which channels go", () => {
  const rows = [
    [1, 2, 2],
    [0.5, 0.5, 0.5],
    [0, 0, 2],
    [3, 3, 3],
  ];
  /** y = relu(x W) V: column i of W is rows[i], rows of V are alike. */
  const net = (): Model =>
    layerModel(["N", 3], (g, x) => {
      const first = g.constant(
        Float32Array.from({ length: 12 }, (_, i) => rows[i % 4][Math.floor(i / 4)]),
        { shape: [3, 4] },
      );
      return g.MatMul(
        g.Relu(g.MatMul(x, first)),
        g.constant(new Float32Array(8).fill(1), { shape: [4, 2] }),
      );
    });
  const leftOf = async (options: Record<string, unknown>): Promise<number[]> => {
    const x = tensor("float32", [2, 3], [0, 0, 1, 0, 0, 1]);
    const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
    const { model } = await apply(net(), "prune-channels", { repair: "none", ...options }, env);
    const [{ value }] = weightsOf(model);
    const values = value.tensor?.floats() ?? new Float32Array();
    const count = Number(value.shape?.[1]);
    return Array.from({ length: count }, (_, i) =>
      rows.findIndex((row) => row.every((w, k) => values[k * count + i] === w)),
    );
  };

  test("by norms of weights", async () => {
    expect(await leftOf({ ratio: 0.25, criterion: "group-l1" })).toEqual([0, 2, 3]);
    expect(await leftOf({ ratio: 0.5, criterion: "group-l1" })).toEqual([0, 3]);
    expect(await leftOf({ ratio: 0.5, criterion: "group-l2" })).toEqual([0, 3]);
  });

  test("by distance to the others: sums 6.9, 8.2, 8.3 and 11.1", async () => {
    expect(await leftOf({ ratio: 0.25, criterion: "fpgm" })).toEqual([1, 2, 3]);
    expect(await leftOf({ ratio: 0.5, criterion: "fpgm" })).toEqual([2, 3]);
    expect(await leftOf({ ratio: 0.75, criterion: "fpgm" })).toEqual([3]);
  });

  test("by what they carry: the data only reach the third input", async () => {
    expect(await leftOf({ ratio: 0.25, criterion: "activation" })).toEqual([0, 2, 3]);
  });

  test("at random, but the same with the same seed", async () => {
    const { model } = nets[0];
    const at = async (seed: number): Promise<Uint8Array> =>
      (
        await apply(
          model,
          "prune-channels",
          { criterion: "random", repair: "bias" },
          environmentOf(nets[0], { seed }),
        )
      ).bytes;
    const [a, b, c] = [await at(1), await at(1), await at(2)];
    expect([Buffer.compare(a, b), Buffer.compare(a, c) === 0]).toEqual([0, false]);
  });

  test("by the scale of batch normalization, or why not", async () => {
    const scales = [0.1, 1, -2, 0.5];
    const normed = layerModel(["N", 3, 4, 4], (g, x) => {
      const ones = (size: number): Float32Array => new Float32Array(size).fill(1);
      const vector = (): Value => g.constant(ones(4));
      const y = g.Conv(x, g.constant(ones(12), { shape: [4, 3, 1, 1] }));
      const z = g.BatchNormalization(y, g.constant(scales), vector(), vector(), vector());
      return g.Conv(z, g.constant(ones(8), { shape: [2, 4, 1, 1] }));
    });
    const env = environmentOf(nets[0], { calibration: null });
    const { model } = await apply(
      normed,
      "prune-channels",
      { ratio: 0.5, criterion: "bn-gamma" },
      env,
    );
    const norm = [...model.graph.nodes].find(({ op }) => op === "BatchNormalization");
    expect(norm?.inputs[1]?.tensor?.numbers()).toEqual(Float32Array.of(1, -2));
    const refused = await apply(net(), "prune-channels", { criterion: "bn-gamma" }, env);
    expect(reasonsOf(refused).join()).toContain("layer1: has no batch normalization left");
  });

  test("by what the outputs feel: the size of a feature times that of its weights", async () => {
    const random = createRandom(12);
    // Alike but for scale; the last factor decides, and it is no layer's own.
    const [into, out] = [
      [8, 1, 2, 1, 4, 2],
      [1, 1, 4, 4, 8, 2],
    ];
    const draw = (scales: number[], inner: number, by: (i: number) => number): Float32Array =>
      Float32Array.from({ length: scales.length * inner }, (_, i) => {
        const sign = random.float() < 0.5 ? -1 : 1;
        return sign * (1 + random.float() / 9) * scales[by(i)];
      });
    const first = draw(into, 4, (i) => i % 6);
    const model = layerModel(["N", 4], (g, x) => {
      const y = g.MatMul(x, g.constant(first, { shape: [4, 6] }));
      return g.MatMul(
        y,
        g.constant(
          draw(out, 8, (i) => Math.floor(i / 8)),
          { shape: [6, 8] },
        ),
      );
    });
    const x = tensor(
      "float32",
      [256, 4],
      Array.from({ length: 1024 }, () => random.normal()),
    );
    const env = environmentOf(nets[0], { training: tensorDataset({ x }) });
    const leftOf = async (ratio: number): Promise<number[]> => {
      const given = { ratio, criterion: "taylor", repair: "none" };
      const { model: pruned } = await apply(model, "prune-channels", given, env);
      const left = weightsOf(pruned)[0].value.tensor?.floats() ?? new Float32Array();
      return [0, 1, 2, 3, 4, 5].filter((unit) => left.includes(first[unit]));
    };
    // Products 8, 1, 8, 4, 32, 4.
    expect(await leftOf(1 / 6)).toEqual([0, 2, 3, 4, 5]);
    expect(await leftOf(1 / 2)).toEqual([0, 2, 4]);
    expect(await leftOf(5 / 6)).toEqual([4]);
  });

  test("activation asks for data", async () => {
    const env = environmentOf(nets[0], { calibration: null });
    const run = apply(net(), "prune-channels", { criterion: "activation" }, env);
    await expect(run).rejects.toMatchObject({ code: "needs-data" });
  });
});

describe("how many go", () => {
  const conv = nets[1];
  const widths = async (options: Record<string, unknown>, target = nodeCpu): Promise<number[]> => {
    const env = environmentOf(conv);
    const { model } = await apply(conv.model, "prune-channels", options, {
      ...env,
      target,
      calibration: null,
    });
    return weightsOf(model).map(({ value, role }) => Number(value.shape?.[role.outputAxis]));
  };

  test("multiples that native kernels like; any number for the web", async () => {
    expect(await widths({ ratio: 0 })).toEqual([16, 16, 16, 32, 32, 10]);
    expect(await widths({ ratio: 0.3 })).toEqual([12, 12, 12, 24, 24, 10]);
    expect(await widths({ ratio: 0.5 })).toEqual([8, 8, 8, 16, 16, 10]);
    expect(await widths({ ratio: 0.3 }, webWasm)).toEqual([11, 11, 11, 22, 22, 10]);
    expect(await widths({ ratio: 0.3, round: 5 })).toEqual([15, 15, 15, 25, 25, 10]);
  });

  test("by what the outputs feel, most where it is felt least", async () => {
    const random = createRandom(6);
    const numbers = (size: number, scale: number): Float32Array =>
      Float32Array.from({ length: size }, () => random.normal() * scale);
    // Two branches of 16 neurons; the second adds a hundredth of what the first does.
    const model = layerModel(["N", 8], (g, x) => {
      const branch = (scale: number): Value => {
        const y = g.Relu(g.MatMul(x, g.constant(numbers(128, 1), { shape: [8, 16] })));
        return g.MatMul(y, g.constant(numbers(64, scale), { shape: [16, 4] }));
      };
      return g.Add(branch(1), branch(0.01));
    });
    const x = tensor("float32", [64, 8], numbers(512, 1));
    const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
    const counts = async (given: Record<string, unknown>): Promise<number[]> => {
      const options = { allocation: "sensitivity", repair: "none", ...given };
      const { model: pruned } = await apply(model, "prune-channels", options, env);
      return weightsOf(pruned)
        .filter(({ value }) => value.shape?.[0] === 8)
        .map(({ value }) => Number(value.shape?.[1]));
    };
    expect(await counts({ ratio: 0.4 })).toEqual([16, 3]);
    expect(await counts({ ratio: 0.4, allocation: "uniform" })).toEqual([10, 10]);
    const [strong, weak] = await counts({ ratio: 0, budget: "macs<=0.7" });
    expect(strong).toBeGreaterThan(weak);
    const blind = apply(
      model,
      "prune-channels",
      { allocation: "sensitivity" },
      { ...env, calibration: null },
    );
    await expect(blind).rejects.toMatchObject({ code: "needs-data" });
  });

  /** Two branches of neurons side by side, and how many of each are left. */
  const branches = (...shapes: readonly (readonly [inputs: number, hidden: number])[]) => {
    const random = createRandom(8);
    const numbers = (size: number): Float32Array =>
      Float32Array.from({ length: size }, random.normal);
    const model = layerModel(["N", 64], (g, x) => {
      const sums = shapes.map(([inputs, hidden]) => {
        const some = g.Slice(x, g.ints([0]), g.ints([inputs]), g.ints([1]));
        const scale = Math.sqrt(inputs);
        const first = numbers(inputs * hidden).map((w) => w / scale);
        const y = g.Relu(g.MatMul(some, g.constant(first, { shape: [inputs, hidden] })));
        return g.MatMul(y, g.constant(numbers(hidden * 4), { shape: [hidden, 4] }));
      });
      return g.Add(sums[0], sums[1]);
    });
    const x = tensor("float32", [48, 64], numbers(48 * 64));
    const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
    return async (given: Record<string, unknown>): Promise<number[]> => {
      const options = { allocation: "sensitivity", round: 1, ...given };
      const { model: pruned } = await apply(model, "prune-channels", options, env);
      const widths = weightsOf(pruned).map(({ value }) => (value.shape ?? []).map(Number));
      return shapes.map(([inputs]) => widths.find(([rows]) => rows === inputs)?.[1] ?? 0);
    };
  };

  test("under a budget those that cost most go first, where outputs feel them alike", async () => {
    const counts = branches([8, 16], [64, 16]);
    const budget = { budget: "macs<=0.6", repair: "none" };
    const [cheap, dear] = await counts(budget);
    expect(dear).toBeLessThan(cheap - 4);
    const [one, other] = await counts({ ratio: 0.4, repair: "none" });
    expect(Math.abs(one - other)).toBeLessThan(6);
  });

  test("a fit does not judge itself: more neurons than records are not worth nothing", async () => {
    // On 32 records the readers of 200 neurons can learn anything.
    const counts = branches([8, 16], [64, 200]);
    const [small, wide] = await counts({ ratio: 0.3 });
    expect(wide).toBeLessThan(200);
    expect(small).toBeLessThan(16);
  });

  test.each([
    ["macs", (model: Model) => costModel(model).macs ?? 0],
    ["bytes", (model: Model) => bytesOf(model).length],
  ] as const)("as few as a budget of %s asks for", async (kind, costOf) => {
    for (const share of [0.7, 0.4]) {
      for (const allocation of ["uniform", "global"]) {
        const given = {
          ratio: 0,
          budget: `${kind}<=${share}`,
          allocation,
          round: 1,
          repair: "none",
        };
        const { model } = await apply(conv.model, "prune-channels", given, environmentOf(conv));
        const left = costOf(model) / costOf(conv.model);
        expect(left).toBeLessThanOrEqual(share);
        expect(left).toBeGreaterThan(share - 0.1);
      }
    }
  });

  test("a budget that cannot be met, or measured, is told", async () => {
    const least = { budget: "bytes<=0.01", repair: "none" };
    const { warnings } = await apply(conv.model, "prune-channels", least, environmentOf(conv));
    expect(warnings[0]).toMatch(
      /^bytes<=0.01 cannot be met: with 0.95 of all channels gone 0\.\d+/,
    );
    const timed = apply(
      conv.model,
      "prune-channels",
      { budget: "latency<=0.5" },
      environmentOf(conv),
    );
    await expect(timed).rejects.toMatchObject({ code: "bad-option" });
  });

  test("one threshold takes as many in all, but leaves no layer empty", async () => {
    const kept = await widths({ ratio: 0.5, allocation: "global", round: 1 });
    expect(kept[0] + kept[3] + kept[4]).toBe(40);
    const most = await widths({ ratio: 0.95, allocation: "global", round: 1 });
    expect(Math.min(...most)).toBeGreaterThan(0);
  });
});

describe("repair", () => {
  /** x -> [a linear layer] -> scores; some of the hidden features hardly vary around their mean. */
  const net = (bias: boolean): Model => {
    const random = createRandom(9);
    return layerModel(["N", 6], (g: Builder, x) => {
      const numbers = (size: number): Float32Array =>
        Float32Array.from({ length: size }, () => random.normal() / 4);
      const hidden = g.Add(
        g.MatMul(x, g.constant(numbers(6 * 16), { shape: [6, 16] })),
        g.constant(numbers(16).map((b) => b * 8)),
      );
      const y = g.MatMul(g.Relu(hidden), g.constant(numbers(16 * 4), { shape: [16, 4] }));
      return bias ? g.Add(y, g.constant(numbers(4))) : g.Relu(y);
    });
  };
  const x = ((random) =>
    tensor(
      "float32",
      [64, 6],
      Array.from({ length: 384 }, () => random.normal()),
    ))(createRandom(2));

  test.each([true, false])(
    "means in the next bias bring outputs closer (a bias there: %s)",
    async (bias) => {
      const model = net(bias);
      const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
      const original = await outputsOf(bytesOf(model), { x });
      const errorOf = async (repair: string): Promise<number> => {
        const { bytes } = await apply(model, "prune-channels", { ratio: 0.4, repair }, env);
        const [a, b] = [original.y.floats(), (await outputsOf(bytes, { x })).y.floats()];
        return Math.sqrt(
          a.reduce((sum, v, i) => sum + (v - b[i]) ** 2, 0) / a.reduce((sum, v) => sum + v * v, 0),
        );
      };
      expect(await errorOf("bias")).toBeLessThan(0.8 * (await errorOf("none")));
    },
  );
});

test("layers that are left out keep their channels, and so do those that share them", async () => {
  const conv = nets[1];
  const result = await apply(
    conv.model,
    "prune-channels",
    { ratio: 0.5, except: ["conv4"] },
    environmentOf(conv),
  );
  const [before, after] = [shapesOf(conv.model), shapesOf(result.model)];
  expect([after.conv1, after.conv4]).toEqual([before.conv1, before.conv4]);
  expect(after.conv5).not.toBe(before.conv5);
  expect(reasonsOf(result)).toContain(
    "conv1: keeps its 16 channels because conv4, which is left out, shares them",
  );
});

test.each([
  ["store-float16", {}],
  ["quantize-weights", { bits: 3 }],
  ["quantize-int8", {}],
  ["share-weights", { bits: 3 }],
  ["prune-magnitude", { sparsity: 0.8 }],
] as const)("prunes what %s %j stored, in that form", async (id, options) => {
  for (const net of [nets[0], nets[1]]) {
    const env = environmentOf(net);
    const stored = await apply(net.model, id, options, env);
    const pruned = await apply(stored.model, "prune-channels", { ratio: 0.5 }, env);
    expect(pruned.bytes.length).toBeLessThan(0.72 * stored.bytes.length);
    expect(verify(pruned.model)).toEqual([]);
    await outputsOf(pruned.bytes, env.feeds);
  }
});

test("says of every group how many are left, and why", async () => {
  const [net] = nets.filter(({ name }) => name === "transformer");
  const { groups } = await apply(net.model, "prune-channels", { ratio: 0.25 }, environmentOf(net));
  expect(groups.map(({ node, before, after }) => `${node} ${before} ${after}`)).toContain(
    "matmul7 128 96",
  );
  const kept = groups.filter(({ before, after }) => before === after);
  const gone = groups.filter(({ before, after }) => before > after);
  expect(kept.length * gone.length).toBeGreaterThan(0);
  for (const { reason } of kept) expect(reason).toMatch(/^kept[,:] /);
  for (const { reason } of gone) expect(reason).toMatch(/^lowest by group-l2, uniform/);
});

const there = realModels.filter(({ path }) => path);

describe.skipIf(there.length < 18)("real models", () => {
  const named = (name: string): RealModel =>
    there.find((model) => model.name === name) as RealModel;

  test("distiller's 69 input channels of zeros go, and nothing else changes", async () => {
    const { start, result, expected, actual, macs, size } = await pruneReal(
      named("distiller_resnet20_ch_regularized_dense"),
      { ratio: 0 },
    );
    const zeros = (model: Model): number => {
      let count = 0;
      for (const { node, value } of weightsOf(model)) {
        const [filters, channels, ...kernel] = value.tensor?.shape ?? [];
        const values = value.tensor?.floats() ?? new Float32Array();
        const area = kernel.reduce((a, b) => a * b, 1);
        for (let c = 0; node.op === "Conv" && c < channels; c++) {
          const isZero = (_: unknown, f: number): boolean =>
            values
              .subarray((f * channels + c) * area, (f * channels + c + 1) * area)
              .every((w) => w === 0);
          if (Array.from({ length: filters }).every(isZero)) count++;
        }
      }
      return count;
    };
    expect([zeros(start), zeros(result.model)]).toEqual([69, 0]);
    expect(relativeError(expected, actual)).toBeLessThan(1e-5);
    // 1092 -> 920 kB and 40.8 -> 30.0 million multiply-accumulates, measured 2026-11.
    expect(macs).toBeLessThan(0.74);
    expect(size).toBeLessThan(0.85);
  });

  test("the text encoder loses one head of four and 30 % of its neurons", async () => {
    const { result } = await pruneReal(named("sst2_transformer"), { ratio: 0.3 });
    const shapes = shapesOf(result.model);
    for (const block of ["b.0", "b.1"]) {
      const of = (layer: string): string => shapes[`/${block}/${layer}/MatMul`];
      expect([of("a/q"), of("a/k"), of("a/v"), of("a/o")]).toEqual([
        "64,48",
        "64,48",
        "64,48",
        "48,64",
      ]);
      expect([of("f1"), of("f2")]).toEqual(["64,90", "90,64"]);
    }
  });

  test("the decoder loses whole key-value heads with their queries, rotary pairs stay whole", async () => {
    const { result } = await pruneReal(named("stories260k"), { ratio: 0.3 });
    const shapes = shapesOf(result.model);
    for (let i = 0; i < 5; i++) {
      const of = (layer: string): string => shapes[`/${layer}/MatMul`];
      expect([`at.${i}/q`, `at.${i}/k`, `at.${i}/v`, `at.${i}/o`].map(of)).toEqual([
        "64,48",
        "64,24",
        "64,24",
        "48,64",
      ]);
      expect([`ff.${i}/w1`, `ff.${i}/w3`, `ff.${i}/w2`].map(of)).toEqual([
        "64,120",
        "64,120",
        "120,64",
      ]);
    }
    expect(reasonsOf(result).join("\n")).toMatch(
      /at\.0\/q\/MatMul: keeps its 2 x 32 channels because/,
    );
  });
});
