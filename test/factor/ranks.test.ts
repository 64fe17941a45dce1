/** @file Low rank for a whole network: what each rank loses, and which ranks are chosen. */
import { describe, expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import type { Whitener } from "../../src/evidence/whitener.ts";
import { byEnergy, sum, within, withinLoss } from "../../src/factor/choose.ts";
import type { Point } from "../../src/factor/decomposition.ts";
import { curveThrough } from "../../src/factor/effects.ts";
import { settle } from "../../src/factor/options.ts";
import { pieceOf } from "../../src/factor/piece.ts";
import { pricesOf } from "../../src/factor/prices.ts";
import { ranksUpTo, tailsOf } from "../../src/factor/spectrum.ts";
import { decomposeSvd } from "../../src/factor/svd.ts";
import { Graph } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Stage } from "../../src/layers/chain.ts";
import type { Layer } from "../../src/layers/matrix.ts";
import { methodOf } from "../../src/methods/index.ts";
import { cholesky } from "../../src/numeric/cholesky.ts";
import type { Choice } from "../../src/numeric/knapsack.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { parseOptions } from "../../src/options.ts";
import { type Composed, leaf } from "../../src/weights/weight.ts";
import { normal } from "../layers/kernels.ts";
import { open } from "../layers/replaced.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { kindOf, layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";
import { tokenModel } from "../support/tokens.ts";

const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));
const squares = (x: ArrayLike<number>): number => Array.from(x).reduce((a, b) => a + b * b, 0);

/** A B of A [m, k] and B [k, n]. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, m: number, k: number, n: number) {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++)
      for (let l = 0; l < k; l++) c[i * n + j] += a[i * k + l] * b[l * n + j];
  return c;
}

describe("the error of a rank", () => {
  const [outputs, columns, records] = [6, 8, 30];
  const model = layerModel(["N", columns], (g, x) =>
    g.MatMul(x, g.constant(normal(48), { shape: [columns, outputs] })),
  );
  const layer = open(model) as Layer;
  // Inputs that hang together, so that the whitener is far from the identity.
  const x = product(normal(records * 3), normal(3 * columns), records, 3, columns);
  for (const [i, noise] of normal(x.length).entries()) x[i] += 0.2 * noise;
  const gram = new Float64Array(columns ** 2);
  for (let k = 0; k < records; k++)
    for (let i = 0; i < columns; i++)
      for (let j = 0; j < columns; j++)
        gram[i * columns + j] += x[k * columns + i] * x[k * columns + j];
  const whitener: Whitener = { columns, factor: cholesky(gram, columns) };
  const gains = Float64Array.from([1, 9, 0.25, 4, 2, 0.5]);

  test.each([
    ["weights", null, null],
    ["outputs", whitener, null],
    ["outputs with gains", whitener, gains],
  ] as const)("is what the %s lose, for every rank", (_, seen, weights) => {
    const { points, energy, chainAt } = decomposeSvd(
      layer,
      { whitener: seen, gains: weights },
      { multiple: 1 },
    );
    expect(points.map(({ ranks }) => ranks[0])).toEqual([1, 2, 3, 4, 5, 6]);
    let last = energy;
    for (const point of points) {
      const [rank] = point.ranks;
      const [down, up] = chainAt(point) as Stage[];
      const kept = product(up.values, down.values, outputs, rank, columns);
      const lost = layer.matrix.map((w, i) => w - kept[i]);
      // sum_k sum_o g_o ((W - W') x_k)_o^2, over the records themselves.
      let error = 0;
      for (let o = 0; o < outputs; o++) {
        const row = lost.subarray(o * columns, (o + 1) * columns);
        const own = seen
          ? Array.from({ length: records }, (_, k) =>
              row.reduce((sum, w, j) => sum + w * x[k * columns + j], 0),
            )
          : row;
        error += (weights?.[o] ?? 1) * squares(own);
      }
      expect(Math.abs(error - point.error)).toBeLessThan(1e-6 * energy);
      expect(point.error).toBeLessThanOrEqual(last);
      expect(point.parameters).toBe(rank * (outputs + columns));
      last = point.error;
    }
    expect(last).toBe(0);
  });

  test("no other cut loses less in a layer whose outputs do not count alike", () => {
    const errorWith = (weights: Float64Array | null) => {
      const found = decomposeSvd(layer, { whitener, gains: weights }, { multiple: 1 });
      const [down, up] = found.chainAt(found.points[1]) as Stage[];
      const kept = product(up.values, down.values, outputs, 2, columns);
      let error = 0;
      for (let k = 0; k < records; k++) {
        for (let o = 0; o < outputs; o++) {
          let y = 0;
          for (let j = 0; j < columns; j++)
            y += (layer.matrix[o * columns + j] - kept[o * columns + j]) * x[k * columns + j];
          error += gains[o] * y * y;
        }
      }
      return error;
    };
    expect(errorWith(gains)).toBeLessThan(0.95 * errorWith(null));
  });
});

test("ranks that are offered, and what they leave", () => {
  expect(ranksUpTo(20, 8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 16, 20]);
  expect(ranksUpTo(3, 8)).toEqual([1, 2, 3]);
  expect([...tailsOf([3, 2, 1])]).toEqual([14, 5, 1, 0]);
});

describe("a pool of ranks", () => {
  const random = createRandom(11);
  /** Layers of falling spectra, n x n, with costs of their own. */
  const draw = (layers: number, ranks: number) =>
    Array.from({ length: layers }, () => {
      const fall = 0.3 + 0.6 * random.float();
      const scale = 10 ** (2 * random.float());
      const cost = 1 + random.int(20);
      const s = Array.from({ length: ranks }, (_, k) => scale * fall ** k);
      const tails = tailsOf(s);
      const points = s.map(
        (_, k): Point => ({
          ...{ ranks: [k + 1], error: tails[k + 1] },
          ...{ parameters: cost * (k + 1), macs: 0 },
        }),
      );
      return { points, energy: tails[0] };
    });

  test("never loses more than energy by layer does at the same cost, nor than any other choice", () => {
    for (let trial = 0; trial < 5; trial++) {
      const layers = draw(4, 6);
      const choices = layers.map(({ points }) =>
        points.map(({ parameters, error }) => ({ cost: parameters, loss: error })),
      );
      for (const energy of [0.7, 0.9, 0.99]) {
        const alone = layers.map((layer) => layer.points.indexOf(byEnergy(layer, energy)));
        const limit = sum(choices, alone, "cost");
        const taken = within(choices, limit) as number[];
        expect(sum(choices, taken, "cost")).toBeLessThanOrEqual(limit);
        expect(sum(choices, taken, "loss")).toBeLessThanOrEqual(sum(choices, alone, "loss"));
        let least = Number.POSITIVE_INFINITY;
        for (let code = 0; code < 6 ** 4; code++) {
          const own = layers.map((_, i) => Math.floor(code / 6 ** i) % 6);
          if (sum(choices, own, "cost") > limit) continue;
          least = Math.min(least, sum(choices, own, "loss"));
        }
        expect(sum(choices, taken, "loss")).toBeCloseTo(least, 9);
        // The other way round: the cheapest that loses no more, but for how losses are rounded.
        const cheap = withinLoss(choices, 1.001 * sum(choices, taken, "loss")) as number[];
        expect(sum(choices, cheap, "cost")).toBeLessThanOrEqual(limit);
      }
    }
  });

  test("spends what rounding of large costs leaves of the limit", () => {
    const choices: Choice[][] = [[0, 1e6 + 1].map((cost) => ({ cost, loss: cost ? 0 : 1 }))];
    choices.push([0, 1e6 - 1].map((cost) => ({ cost, loss: cost ? 0 : 1 })));
    expect(within(choices, 2e6)).toEqual([1, 1]);
    expect(within(choices, 2e6 - 1)).toHaveLength(2);
    expect(within([[{ cost: 2, loss: 0 }]], 1)).toBeNull();
  });
});

test("an effect is a power law between what was measured, and proportional beyond", () => {
  const effect = curveThrough([
    { error: 16, moved: 8 },
    { error: 1, moved: 1 },
  ]);
  // moved = error^(3/4): 8 at 16.
  expect(effect(4)).toBeCloseTo(4 ** 0.75, 4);
  expect(effect(16)).toBeCloseTo(8, 4);
  expect(effect(0.5)).toBeCloseTo(0.5, 9);
  expect(effect(32)).toBeCloseTo(16, 9);
  expect(effect(0)).toBe(0);
  expect(curveThrough([])(3)).toBe(0);
});

test("options that were there before mean what they meant, with records or without", () => {
  const options = methodOf("factor-svd")!.options;
  const settled = (given: object, hasCalibration: boolean) => {
    const { energy, weighting, ranks, repair } = settle(
      parseOptions(options, given as Record<string, unknown>, "factor-svd") as never,
      { hasCalibration },
    ) as Record<string, unknown>;
    return [energy, weighting, ranks, repair].join(" ");
  };
  for (const has of [true, false]) {
    expect(settled({ energy: 0.8 }, has)).toBe("0.8 none energy none");
    expect(settled({ weighting: "none" }, has)).toBe("0.9 none energy none");
    expect(settled({ weighting: "activations" }, has)).toBe("0.9 activations energy none");
  }
  expect(settled({}, false)).toBe("0.9 none energy none");
  expect(settled({}, true)).toBe("0.9 activations pool least-squares");
  expect(settled({ budget: 0.5 }, false)).toBe("0.9 none pool none");
  expect(settled({ ranks: "share", budget: 0.5 }, false)).toBe("0.9 none share none");
  expect(() => settled({ ranks: "share" }, true)).toThrow("bad-option");
});

describe("a network", () => {
  const [records, width] = [32, 32];
  const spectrum = (fall: number) => {
    const w = new Float32Array(width * width);
    for (let k = 0; k < width; k++) {
      const [u, v] = [normal(width), normal(width)];
      for (let i = 0; i < w.length; i++) {
        w[i] += (fall ** k * u[Math.floor(i / width)] * v[i % width]) / width;
      }
    }
    return w;
  };
  const feeds = { x: tensor("float32", [records, width], normal(records * width)) };
  const env = environmentOf(nets[0], { calibration: tensorDataset(feeds) });
  // The first layer's spectrum falls fast, the second's hardly, and the network barely hears it.
  const start = layerModel(["N", width], (g, x) => {
    const dense = (x: typeof y, w: Float32Array) =>
      g.Gemm(x, g.constant(w, { shape: [width, width] }), g.constant(normal(width)));
    const y = g.Relu(dense(x, spectrum(0.8)));
    return g.Add(y, g.Mul(dense(y, spectrum(0.97)), g.constant(0.05)));
  });
  const params = (model: Model) =>
    weightsIn(model).reduce((sum, { weight }) => sum + weight.values.length, 0);
  const moved = async (bytes: Uint8Array): Promise<number> => {
    const [y, z] = [await outputsOf(bytesOf(start), feeds), await outputsOf(bytes, feeds)].map(
      ({ y }) => y.floats(),
    );
    const mean = new Float64Array(width);
    for (let i = 0; i < y.length; i++) mean[i % width] += y[i] / records;
    return squares(y.map((a, i) => a - z[i])) / squares(y.map((a, i) => a - mean[i % width]));
  };

  test("at equal weights the outputs move less than by energy, and within the change asked for", async () => {
    const alone = await apply(start, "factor-svd", { energy: 0.8, multiple: 1 }, env);
    const budget = params(alone.model) / params(start);
    const options = { budget, multiple: 1, records };
    const pooled = await apply(start, "factor-svd", options, env);
    expect(params(pooled.model)).toBeLessThanOrEqual(params(alone.model));
    expect(await moved(pooled.bytes)).toBeLessThan(0.5 * (await moved(alone.bytes)));
    const plain = { change: 0.1, multiple: 1, records, repair: "none" };
    const { model, bytes } = await apply(start, "factor-svd", plain, env);
    expect(await moved(bytes)).toBeLessThanOrEqual(0.1);
    expect(params(model)).toBeLessThan(0.9 * params(start));
  });

  const bare = environmentOf(nets[0], { calibration: null });
  test("prices: bytes are those of the file, milliseconds those that the engine tells", async () => {
    const layer = open(
      layerModel(["N", 32], (g, x) => g.MatMul(x, g.constant(normal(1024), { shape: [32, 32] }))),
    ) as Layer;
    const found = decomposeSvd(layer, { whitener: null, gains: null }, { multiple: 1 });
    const plain = pieceOf(layer, found);
    const narrow = { ...layer, weight: leaf(layer.matrix, [32, 32], "float16") };
    expect([plain.bytes, pieceOf(narrow, found).bytes]).toEqual([4096, 2048]);
    const context = { warn() {} } as unknown as Context;
    const model = { graph: layer.node.graph } as Model;
    const [bytes] = await pricesOf("bytes", model, [plain], context);
    expect([bytes.now, bytes.at(found.points[1])]).toEqual([4096, 4 * 2 * 64]);
    // 1000 us as it is; 10 us for each of the two nodes of a cut, and 1 us for each rank.
    const timeNodes = async ({ graph }: Model) =>
      new Map(
        Array.from(graph.nodes, (node) => {
          const shape = node.inputs[1]?.tensor?.shape ?? [];
          return [node, graph.nodes.size === 1 ? 1000 : 10 + Math.min(...shape) / 2];
        }),
      );
    const timed = await pricesOf("milliseconds", model, [plain], { ...context, timeNodes });
    expect(timed[0].now).toBe(1000);
    for (const point of found.points.slice(0, 15)) {
      expect(timed[0].at(point)).toBeCloseTo(20 + point.ranks[0], 9);
    }
  });

  test("a repair brings the outputs nearer, and no bias to a layer that has none", async () => {
    const model = layerModel(["N", width], (g, x) => {
      const dense = (x: typeof y) =>
        g.MatMul(x, g.constant(spectrum(0.8), { shape: [width, width] }));
      const y = g.Relu(dense(x));
      return dense(y);
    });
    // Factors of the weights alone, which do not know that some inputs are loud.
    const loud = normal(256 * width).map((x, i) => x * (i % width < 4 ? 9 : 1));
    const many = { x: tensor("float32", [256, width], loud) };
    const seen = environmentOf(nets[0], { calibration: tensorDataset(many) });
    const options = { budget: 0.3, weighting: "none", records: 256, ranks: "pool" };
    const plain = await apply(model, "factor-svd", options, seen);
    const mended = { ...options, repair: "least-squares" };
    const repaired = await apply(model, "factor-svd", mended, seen);
    const ops = ({ model }: typeof plain) => Array.from(model.graph.nodes, ({ op }) => op);
    expect(ops(repaired)).toEqual(ops(plain));
    const { y } = await outputsOf(bytesOf(model), many);
    const lost = async ({ bytes }: typeof plain): Promise<number> => {
      const found = (await outputsOf(bytes, many)).y.floats();
      return squares(y.floats().map((a, i) => a - found[i]));
    };
    expect(await lost(repaired)).toBeLessThan(0.9 * (await lost(plain)));
  });

  test("a layer of zeros is cut, as nothing moves", async () => {
    const model = layerModel(["N", width], (g, x) =>
      g.Gemm(x, g.constant(new Float32Array(1024), { shape: [32, 32] }), g.constant(normal(32))),
    );
    const { bytes } = await apply(model, "factor-svd", { records }, env);
    expect(bytes.length).toBeLessThan(0.5 * bytesOf(model).length);
    const [y, z] = [await outputsOf(bytesOf(model), feeds), await outputsOf(bytes, feeds)];
    expect(z.y.floats()).toEqual(y.y.floats());
  });

  test("a branch that no record takes keeps its layers", async () => {
    const model = layerModel(["N", width], (g, x) => {
      const isLarge = g.Greater(g.ReduceMax(x, null, { keepdims: 0 }), g.constant(1e9));
      const branch = (fall: number) => {
        const body = new Graph("branch");
        const own = build(body);
        const y = own.MatMul(x, own.constant(spectrum(fall), { shape: [width, width] }));
        body.setOutputs([y]);
        return { type: "graph", value: body } as const;
      };
      const attributes = { then_branch: branch(0.97), else_branch: branch(0.97) };
      return x.graph.add("If", [isLarge], { name: "choice", attributes }).output;
    });
    const { model: after, skipped } = await apply(model, "factor-svd", { records }, env);
    expect(skipped.map(({ reason }) => reason)).toEqual(
      Array(2).fill("stays: the outputs need it as it is"),
    );
    expect(params(after)).toBe(params(model));
  });

  test("what would cost more stays, with the reason", async () => {
    const thin = layerModel(["N", 1024], (g, x) =>
      g.MatMul(x, g.constant(normal(1024), { shape: [1024, 1] })),
    );
    const { skipped, model } = await apply(thin, "factor-svd", { budget: 0.5 }, bare);
    expect(skipped.map(({ reason }) => reason)).toEqual(["has no rank that would save work"]);
    const room = await apply(start, "factor-svd", { budget: 1 }, env);
    expect(room.skipped.map(({ reason }) => reason)).toEqual(
      Array(2).fill("stays: the budget has room for it as it is"),
    );
    expect(Buffer.compare(bytesOf(model), bytesOf(thin))).toBe(0);
  });
});

test("responses: what all inputs have in common costs no rank", async () => {
  const [records, columns, outputs] = [40, 40, 32];
  // x = c + t d with one direction d: y varies in one direction only.
  const [c, d, t] = [normal(columns), normal(columns), normal(records)];
  const x = Float32Array.from(
    { length: records * columns },
    (_, i) => c[i % columns] + t[Math.floor(i / columns)] * d[i % columns],
  );
  const feeds = { x: tensor("float32", [records, columns], x) };
  const env = environmentOf(nets[0], { calibration: tensorDataset(feeds) });
  const model = layerModel(["N", columns], (g, x) =>
    g.Add(
      g.MatMul(x, g.constant(normal(columns * outputs), { shape: [columns, outputs] })),
      g.constant(normal(outputs)),
    ),
  );
  const { y } = await outputsOf(bytesOf(model), feeds);
  const errorOf = async (id: "factor-svd" | "factor-response") => {
    const options = { weighting: "activations", damping: 1e-4, energy: 0.01, records };
    const { model: thin, bytes } = await apply(model, id, options, env);
    expect(weightsIn(thin)[0].weight.shape).toEqual([columns, 1]);
    const found = (await outputsOf(bytes, feeds)).y.floats();
    return squares(y.floats().map((a, i) => a - found[i])) / squares(y.floats());
  };
  expect(await errorOf("factor-response")).toBeLessThan(1e-6);
  expect(await errorOf("factor-svd")).toBeGreaterThan(1e-3);
});

test("low rank and sparse: what takes two ranks and a few numbers, where SVD alone saves nothing", async () => {
  const [rows, columns] = [40, 60];
  for (const transB of [0, 1]) {
    const w = Float32Array.from(product(normal(rows * 2), normal(2 * columns), rows, 2, columns));
    // 24 large numbers, which cost a rank each by SVD.
    for (let k = 0; k < 24; k++) w[(k * 101) % w.length] += k % 2 ? 40 : -40;
    const shape = transB ? [rows, columns] : [columns, rows];
    const model = layerModel(["N", columns], (g, x) =>
      g.Gemm(x, g.constant(w, { shape }), null, { transB }),
    );
    // The outputs for the rows of the identity are W, of which 3 % of the energy may go.
    const rowsOfOne = Array.from({ length: columns ** 2 }, (_, i) =>
      Number(i % (columns + 1) === 0),
    );
    const feeds = { x: tensor("float32", [columns, columns], rowsOfOne) };
    const bare = environmentOf(nets[0], { calibration: null });
    const options = { energy: 0.97, rank: 0.7 };
    const { model: thin, bytes } = await apply(model, "factor-sparse", options, bare);
    const [{ weight }] = weightsIn(thin);
    expect([kindOf(weight), weight.shape]).toEqual(["factored with rest", shape]);
    // L and R of rank 2, and 24 numbers with their places, where W has 2400.
    expect(bytes.length).toBeLessThan(0.5 * bytesOf(model).length);
    const [y, z] = [await outputsOf(bytesOf(model), feeds), await outputsOf(bytes, feeds)];
    expect(squares(y.y.floats().map((a, i) => a - z.y.floats()[i]))).toBeLessThan(
      0.0301 * squares(y.y.floats()),
    );
    const { skipped } = await apply(model, "factor-svd", { energy: 0.97 }, bare);
    expect(skipped[0].reason).toMatch(/^needs rank \d+; only 23|^needs rank 24; only 16 or less/);
  }
});

test("dictionary: rows that are mixtures of three are found, in either layout", async () => {
  const [rows, columns] = [40, 30];
  const bare = environmentOf(nets[0], { calibration: null });
  const feeds = (width: number) => ({ x: tensor("float32", [8, width], normal(8 * width)) });
  for (const transB of [0, 1]) {
    const w = Float32Array.from(product(normal(rows * 3), normal(3 * columns), rows, 3, columns));
    const width = transB ? columns : rows;
    const model = layerModel(["N", width], (g, x) =>
      g.Gemm(x, g.constant(w, { shape: [rows, columns] }), null, { transB }),
    );
    const { model: thin, bytes } = await apply(
      model,
      "factor-dictionary",
      { energy: 0.99999 },
      bare,
    );
    const [{ weight }] = weightsIn(thin);
    expect(kindOf(weight)).toBe("dictionary");
    const { kept, mix } = (weight as Composed).theta;
    expect([kept.shape, mix.shape]).toEqual([
      [3, columns],
      [rows - 3, 3],
    ]);
    const x = feeds(width);
    const [y, z] = [await outputsOf(bytesOf(model), x), await outputsOf(bytes, x)];
    const lost = squares(y.y.floats().map((a, i) => a - z.y.floats()[i]));
    expect(lost).toBeLessThan(1e-9 * squares(y.y.floats()));
  }
});

describe("embedding tables", () => {
  const [rows, features, length] = [96, 24, 5];
  const exact = Float32Array.from(
    product(normal(rows * 4), normal(4 * features), rows, 4, features),
  );
  const ids = (records: number, next: (i: number) => number) =>
    tensor(
      "int64",
      [records, length],
      Float64Array.from({ length: records * length }, (_, i) => next(i)),
    );
  const random = createRandom(5);
  const some = { ids: ids(8, () => random.int(rows)) };

  test.each(["plain", "tied"])("%s: rows of rank 4 are looked up short", async (kind) => {
    const model = tokenModel(exact, [rows, features], length, (g, ids, table) => {
      const x = g.Gather(table, ids);
      return kind === "plain"
        ? g.Tanh(x)
        : g.MatMul(g.Tanh(x), g.Transpose(table, { perm: [1, 0] }));
    });
    const env = environmentOf(nets[0], { calibration: tensorDataset(some) });
    const { model: thin, bytes } = await apply(model, "factor-svd", { change: 1e-6 }, env);
    const tables = weightsOf(thin).filter(({ role }) => role.kind === "embedding");
    expect(tables.map(({ value }) => value.tensor?.shape)).toEqual([[rows, 4]]);
    // The table is nowhere stored as it was, not even for the scores.
    expect(bytes.length).toBeLessThan(bytesOf(model).length - 4 * (rows - 8) * (features - 8));
    const [y, z] = [await outputsOf(bytesOf(model), some), await outputsOf(bytes, some)];
    expect(squares(y.y.floats().map((a, i) => a - z.y.floats()[i]))).toBeLessThan(
      1e-8 * squares(y.y.floats()),
    );
  });

  test("rows that records read often keep more", async () => {
    const model = tokenModel(
      Float32Array.from(normal(rows * features)),
      [rows, features],
      length,
      (g, ids, table) => g.Gather(table, ids),
    );
    const often = { ids: ids(40, () => random.int(10)) };
    const env = environmentOf(nets[0], { calibration: tensorDataset(often) });
    const lost = async (weighting: string): Promise<number> => {
      const options = { ranks: "pool", budget: 0.6, weighting, repair: "none" };
      const { bytes } = await apply(model, "factor-svd", options, env);
      const [y, z] = [await outputsOf(bytesOf(model), often), await outputsOf(bytes, often)];
      return squares(y.y.floats().map((a, i) => a - z.y.floats()[i])) / squares(y.y.floats());
    };
    expect(await lost("activations")).toBeLessThan(0.3 * (await lost("none")));
  });
});
