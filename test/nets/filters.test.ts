/** @file Networks with transferred filters: sizes, gradients, what their layers compute, symmetry. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { countParams } from "../../src/measure/params.ts";
import { withFilters } from "../../src/nets/filters.ts";
import { makeNet } from "../../src/nets/index.ts";
import { createLayers } from "../../src/nets/layers.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { costModel } from "../../src/ops/cost.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { learnableOf } from "../../src/weights/learnable.ts";
import { outputsOf } from "../support/apply.ts";

const kinds = ["plain", "crelu", "mba", "circ", "dcnn", "p4", "p4m"] as const;
type Kind = (typeof kinds)[number];

/** Weights of a 3 x 3 convolution from `inputs` (`isFirst`: the image) to `outputs` channels. */
const weights: Record<Kind, (inputs: number, outputs: number, isFirst: boolean) => number> = {
  plain: (n, m) => 9 * n * m,
  crelu: (n, m) => (9 * n * m) / 2,
  mba: (n, m) => (9 * n * m) / 2,
  circ: (n, m) => (9 * n * m) / 4,
  dcnn: (n, m) => (16 * n * m) / 4,
  p4: (n, m) => (9 * n * m) / 4,
  p4m: (n, m) => (9 * n * m) / 8,
};
/** Scale and shift of a normalization, and the biases of maps. */
const norms: Record<Kind, (outputs: number) => number> = {
  plain: (m) => 2 * m,
  crelu: (m) => m,
  mba: (m) => m + m,
  circ: (m) => 2 * m,
  dcnn: (m) => 2 * m,
  p4: (m) => (2 * m) / 4,
  p4m: (m) => (2 * m) / 8,
};

describe.each(kinds)("net:vgg-small?filters=%s", (kind) => {
  const model = makeNet(`vgg-small?filters=${kind}&width=16`, 1);
  const widths = [3, 16, 16, 32, 32, 64, 64];

  test("has as many numbers as its equation says, and all of them learn", () => {
    let expected = 64 * 16 * 10 + 10;
    for (let i = 1; i < widths.length; i++) {
      expected += weights[kind](widths[i - 1], widths[i], i === 1) + norms[kind](widths[i]);
    }
    expect(countParams(model, costModel(model)).params).toBe(expected);
    const learned = learnableOf(model).reduce((sum, { value }) => sum + value.tensor!.size, 0);
    expect(learned).toBe(expected);
    expect(verify(model)).toEqual([]);
  });

  test("has the widths of the plain network behind every relu", () => {
    inferModel(model);
    const relus = model.graph.sorted().filter(({ op }) => op === "Relu");
    expect(relus.map(({ output }) => output.shape?.[1])).toEqual(widths.slice(1));
  });
});

/** conv -> norm -> relu, twice with a pooling between, on a 8 x 8 image; the outputs of some values. */
function chain(kind: Kind, seed: number): Model {
  const graph = new Graph("chain");
  const image = graph.addInput("image", "float32", [1, 3, 8, 8]);
  const random = createRandom(seed);
  const layers = createLayers(graph, random);
  const { conv, norm, relu } = withFilters(layers, kind);
  const block = (x: Value): Value => relu(norm(conv(x, 16, 3, { bias: false })));
  graph.setOutputs([block(layers.maxPool(block(image), 2))]);
  for (const value of graph.constants) {
    if (!/\/(scale|bias|mean)$/.test(value.name)) continue;
    const { shape, size } = value.tensor!;
    const drawn = Float32Array.from({ length: size }, () => 1 + 0.3 * random.normal());
    graph.setConstant(value, tensor("float32", shape, drawn));
  }
  graph.outputs[0].name = "y";
  return createModel(graph, 21);
}

/** Runs the model; also gives the values that `nodes` of these names compute. */
async function run(model: Model, image: Float32Array, ...nodes: string[]) {
  const { graph } = model;
  const [y] = graph.outputs;
  const watched = nodes.map((name) => [...graph.nodes].find((node) => node.name === name)!.output);
  graph.setOutputs([y, ...watched.filter((value) => value !== y)]);
  const feeds = { image: tensor("float32", [1, 3, 8, 8], image) };
  const outputs = await outputsOf(concat(writeModel(model)), feeds);
  return [y, ...watched].map(({ name }) => outputs[name].floats());
}

const random = createRandom(9);
const image = Float32Array.from({ length: 3 * 64 }, random.normal);

describe("layers", () => {
  test("crelu: the concatenation of relu(x) and relu(-x)", async () => {
    const [, x, y] = await run(chain("crelu", 2), image, "norm1", "relu1");
    expect(y).toHaveLength(2 * x.length);
    for (const [i, value] of y.entries()) {
      const own = i < x.length ? x[i] : -x[i - x.length];
      expect(value).toBeCloseTo(Math.max(0, own), 6);
    }
  });

  test("mba: each map with two biases", async () => {
    const model = chain("mba", 2);
    const bias = [...model.graph.constants].find(({ name }) => name === "biases1/bias")!;
    const b = bias.tensor!.floats();
    expect(new Set(b).size).toBe(16);
    const [, x, y] = await run(model, image, "norm1", "relu1");
    expect(y).toHaveLength(2 * x.length);
    for (const [i, value] of y.entries()) {
      expect(value).toBeCloseTo(Math.max(0, x[i % x.length] + b[Math.floor(i / 64)]), 5);
    }
  });

  test.each([
    ["p4", 4],
    ["p4m", 8],
  ] as const)(
    "%s: turning or mirroring the image moves maps and their orientations alone",
    async (kind, order) => {
      const size = 4;
      /** A quarter turn counterclockwise, or a mirror image, of each n x n map. */
      const turn = (maps: Float32Array, n: number, mirrored: boolean): Float32Array =>
        maps.map((_, i) => {
          const [x, y, map] = [i % n, Math.floor(i / n) % n, Math.floor(i / (n * n))];
          return maps[map * n * n + (mirrored ? y * n + n - 1 - x : x * n + n - 1 - y)];
        });
      const [before] = await run(chain(kind, 3), image);
      for (const mirrored of order === 8 ? [false, true] : [false]) {
        const [after] = await run(chain(kind, 3), turn(image, 8, mirrored));
        const turned = turn(before, size, mirrored);
        for (let filter = 0; filter < 16 / order; filter++) {
          for (let h = 0; h < order; h++) {
            // Orientation h comes from r^-1 h, or s^-1 h: h = r^j s^f and s r^j = r^-j s.
            const [j, f] = [h % 4, h >> 2];
            const from = mirrored ? ((4 - j) % 4) + 4 * (1 - f) : ((j + 3) % 4) + 4 * f;
            for (let p = 0; p < size * size; p++) {
              const at = (filter * order + h) * size * size + p;
              const origin = (filter * order + from) * size * size + p;
              expect(after[at]).toBeCloseTo(turned[origin], 4);
            }
          }
        }
      }
    },
  );

  test("plain filters have no such symmetry", async () => {
    const turned = image.map((_, i) => {
      const [x, y, map] = [i % 8, Math.floor(i / 8) % 8, Math.floor(i / 64)];
      return image[map * 64 + x * 8 + 7 - y];
    });
    const [before] = await run(chain("circ", 3), image);
    const [after] = await run(chain("circ", 3), turned);
    const sorted = (maps: Float32Array) => maps.toSorted();
    const gap = sorted(before).reduce((sum, v, i) => sum + Math.abs(v - sorted(after)[i]), 0);
    expect(gap / before.length).toBeGreaterThan(0.01);
  });
});
