/** @file What a replaced layer leaves behind, and chains that are no product of kernels. */
import { describe, expect, test } from "vitest";
import { Graph, type Node, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import type { Chain, Insert, Stage } from "../../src/layers/chain.ts";
import type { Layer } from "../../src/layers/matrix.ts";
import { replaceLayer } from "../../src/layers/replace.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { kernelOf, normal, sizeOf, stage } from "./kernels.ts";
import { apart, open, replaced } from "./replaced.ts";

const weight = (g: Builder, ...shape: number[]): Value =>
  g.constant(tensor("float32", shape, normal(sizeOf(shape))), { name: "W" });
const constantOf = (g: Builder, { shape, values }: Stage): Value =>
  g.constant(tensor("float32", shape, values));

/** x [N, 4, 9, 11] -> Conv of the chain's product -> draw -> y. */
function between(chain: Chain, draw: (g: Builder, y: Value) => Value): Model {
  const { shape, values } = kernelOf(chain, 4, [3, 3]);
  return layerModel(["N", 4, 9, 11], (g, x) => {
    const y = g.Conv(x, g.constant(tensor("float32", shape, values)), g.constant(normal(6)));
    return draw(g, y);
  });
}

const svd = (): Chain => [stage("down", [2, 4, 3, 3]), stage("up", [6, 2, 1, 1])];

describe("names", () => {
  test("nodes and weights are called by the layer and the stage, the output as before", () => {
    const chain = svd();
    const start = between(chain, (g, y) => g.Relu(y));
    const [conv] = start.graph.sorted();
    conv.output.name = "features";
    const { model, nodes } = replaced(start, chain);
    const names = nodes.map(({ name, inputs: [, w], output }) => [name, w?.name, output.name]);
    expect(names).toEqual([
      ["layer1/down", "layer1/down", "layer1/down"],
      ["layer1/up", "layer1/up", "features"],
    ]);
    expect(nodes.map(({ inputs }) => inputs[2]?.name)).toEqual([undefined, "constant"]);
    expect([...model.graph.constants].map(({ name }) => name)).not.toContain("W");
    expect(nodes[1].output.shape).toEqual(["N", 6, 7, 9]);
  });

  test("a graph's output keeps its name and its type", () => {
    const chain = svd();
    const start = between(chain, (_, y) => y);
    const { model } = replaced(start, chain);
    const [output] = model.graph.outputs;
    expect([output.name, output.dtype, output.shape]).toEqual(["y", "float32", ["N", 6, 7, 9]]);
    expect(output.producer?.name).toBe("layer1/up");
  });

  test("what was known of the output's size stays known", () => {
    const chain = svd();
    const { shape, values } = kernelOf(chain, 4, [3, 3]);
    const start = layerModel(["N", 4, "H", "W"], (g, x) =>
      g.Relu(g.Conv(x, g.constant(tensor("float32", shape, values)))),
    );
    start.graph.sorted()[0].output.shape = ["N", 6, "rows", 12];
    const { nodes } = replaced(start, chain);
    expect(nodes[1].output.shape).toEqual(["N", 6, "rows", 12]);
  });

  test("a bias that the next node adds stays where it is", async () => {
    const chain = [stage("down", [2, 8]), stage("up", [6, 2])];
    const W = kernelOf(chain, 8, []);
    const start = layerModel(["N", 8], (g, x) => {
      const turned = g.Transpose(g.constant(tensor("float32", W.shape, W.values)), {
        perm: [1, 0],
      });
      return g.Add(g.MatMul(x, turned), g.constant(normal(6), { name: "bias" }));
    });
    const { model, nodes } = replaced(start, chain);
    expect(nodes[1].output.consumers.map(({ op, inputs }) => [op, inputs[1]?.name])).toEqual([
      ["Add", "bias"],
    ]);
    expect(await apart(start, model)).toBeLessThan(1e-5);
  });
});

test("layers opened together, one behind the other, are replaced one after the other", async () => {
  const chains = [svd(), [stage("rows", [3, 6, 2, 1]), stage("columns", [5, 3, 1, 3])]];
  const [W, V] = [kernelOf(chains[0], 4, [3, 3]), kernelOf(chains[1], 6, [2, 3])];
  const start = layerModel(["N", 4, 9, 11], (g, x) =>
    [W, V].reduce(
      (y, { shape, values }) => g.Conv(y, g.constant(tensor("float32", shape, values))),
      x,
    ),
  );
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const model = cloneModel(start);
    const layers = [0, 1].map((i) => open(model, i) as Layer);
    for (const i of order) replaceLayer(layers[i], chains[i]);
    expect(verify(model)).toEqual([]);
    expect(await apart(start, model)).toBeLessThan(1e-5);
  }
});

describe("chains that are no product of kernels, beside the same graph drawn by hand", () => {
  const geometry = { strides: [2, 1], pads: [1, 0, 2, 1], dilations: [1, 2] };
  const start = (outputs: number): Model =>
    layerModel(["N", 4, 9, 11], (g, x) =>
      g.Conv(x, weight(g, outputs, 4, 3, 3), g.constant(normal(outputs), { name: "b" }), geometry),
    );
  /** Draws with the very bias that the layer has. */
  const byHand = (model: Model, draw: (g: Builder, x: Value, b: Value) => Value): Model => {
    const bias = [...model.graph.nodes][0].inputs[2]?.tensor;
    return layerModel(["N", 4, 9, 11], (g, x) => draw(g, x, g.constant(bias!)));
  };

  test("a normalization between factors", async () => {
    const [down, up] = [stage("rows", [5, 4, 3, 1]), stage("columns", [6, 5, 1, 3])];
    const [scale, shift, mean] = [normal(5), normal(5), normal(5)];
    const variance = normal(5).map((x) => 1 + x * x);
    const norm: Insert = (g, x) =>
      g.BatchNormalization(x, ...[scale, shift, mean, variance].map((v) => g.constant(v)));
    const layer = start(6);
    const { model, nodes } = replaced(layer, [down, norm, up]);
    expect([...model.graph.nodes].map(({ name }) => name)).toContain("layer1/BatchNormalization");
    expect(nodes.map(({ name }) => name)).toEqual(["layer1/rows", "layer1/columns"]);
    const drawn = byHand(layer, (g, x, b) => {
      const rows = { strides: [2, 1], pads: [1, 0, 2, 0] };
      const columns = { dilations: [1, 2], pads: [0, 0, 0, 1] };
      const inner = norm(g, g.Conv(x, constantOf(g, down), null, rows));
      return g.Conv(inner, constantOf(g, up), b, columns);
    });
    expect(await apart(drawn, model)).toBe(0);
  });

  test("an activation at the end comes before the bias", async () => {
    const layer = start(6);
    const only = stage("only", [6, 4, 3, 3]);
    const { model } = replaced(layer, [only, (g, x) => g.Relu(x)]);
    const drawn = byHand(layer, (g, x, b) => {
      const y = g.Relu(g.Conv(x, constantOf(g, only), null, geometry));
      return g.Add(y, g.Reshape(b, g.ints([6, 1, 1])));
    });
    expect(await apart(drawn, model)).toBe(0);
  });

  test("ghost: a kernel along axes that it does not own keeps the size", async () => {
    const first = stage("first", [3, 4, 3, 3]);
    const cheap = stage("cheap", [3, 1, 3, 5], { groups: 3 });
    const layer = start(6);
    const { model } = replaced(layer, [first, { join: "concat", branches: [[], [cheap]] }]);
    const drawn = byHand(layer, (g, x, b) => {
      const y = g.Conv(x, constantOf(g, first), null, geometry);
      const ghosts = g.Conv(y, constantOf(g, cheap), null, { pads: [1, 2, 1, 2], group: 3 });
      return g.Add(g.Concat(y, ghosts, { axis: 1 }), g.Reshape(b, g.ints([6, 1, 1])));
    });
    expect(await apart(drawn, model)).toBe(0);
  });

  test("a stage may own axes that its kernel does not span", async () => {
    const point = stage("point", [5, 4, 1, 1], { axes: [0] });
    const core = stage("core", [6, 5, 3, 3]);
    const layer = start(6);
    const { model } = replaced(layer, [point, core]);
    const drawn = byHand(layer, (g, x, b) => {
      // The middle of three rows of padding (1, 2).
      const y = g.Conv(x, constantOf(g, point), null, { strides: [2, 1], pads: [0, 0, 1, 0] });
      const rest = { dilations: [1, 2], pads: [1, 0, 1, 1] };
      return g.Conv(y, constantOf(g, core), b, rest);
    });
    expect(await apart(drawn, model)).toBe(0);
  });

  test("a grouped layer by grouped stages, where asked for", async () => {
    const [down, up] = [
      stage("down", [4, 2, 3, 3], { groups: 2 }),
      stage("up", [6, 2, 1, 1], { groups: 2 }),
    ];
    const grouped = layerModel(["N", 4, 9, 11], (g, x) =>
      g.Conv(x, weight(g, 6, 2, 3, 3), null, { ...geometry, group: 2 }),
    );
    const { model } = replaced(grouped, [down, up], true);
    const drawn = layerModel(["N", 4, 9, 11], (g, x) => {
      const y = g.Conv(x, constantOf(g, down), null, { ...geometry, group: 2 });
      return g.Conv(y, constantOf(g, up), null, { group: 2 });
    });
    expect(await apart(drawn, model)).toBe(0);
  });
});

describe("sizes that only the engine knows", () => {
  const pads = ["SAME_UPPER", "SAME_LOWER", "VALID"];
  const start = (chain: Chain, sides: readonly number[], attributes: object): Model => {
    const { shape, values } = kernelOf(chain, 4, sides);
    return layerModel([2, 4, "H", "W"], (g, x) =>
      g.Conv(x, g.constant(tensor("float32", shape, values)), null, { ...attributes }),
    );
  };

  test.each(pads)("%s goes along with a whole kernel", async (auto_pad) => {
    const chain = [
      stage("in", [3, 4, 1, 1]),
      stage("rows", [3, 1, 3, 1], { groups: 3 }),
      stage("columns", [6, 3, 1, 2]),
    ];
    const layer = start(chain, [3, 2], { auto_pad, strides: [2, 3] });
    const { model } = replaced(layer, chain);
    for (const size of [8, 9, 10]) expect(await apart(layer, model, size)).toBeLessThan(1e-5);
  });

  test.each(pads)("%s without strides suits a smaller kernel, too", async (auto_pad) => {
    const chain = [stage("in", [3, 4, 1, 1]), stage("core", [6, 3, 2, 1])];
    const layer = start(chain, [4, 2], { auto_pad });
    const { model } = replaced(layer, chain);
    for (const size of [8, 9]) expect(await apart(layer, model, size)).toBeLessThan(1e-5);
  });
});

describe("inside the bodies of an If", () => {
  const chains = [svd(), [stage("rows", [3, 4, 3, 1]), stage("columns", [6, 3, 1, 3])]];

  /** sum(x) > threshold ? Conv(x, W) + b : Conv(x, V) + b, with x, W and b from outside, V within. */
  function conditional(threshold: number): Model {
    const graph = new Graph("outer");
    const x = graph.addInput("x", "float32", ["N", 4, 9, 11]);
    const g = build(graph);
    const bias = g.constant(normal(6), { name: "b" });
    const [W, V] = chains.map((chain) => kernelOf(chain, 4, [3, 3]));
    const outer = g.constant(tensor("float32", W.shape, W.values), { name: "W" });
    const isAbove = g.Greater(g.ReduceSum(x, null, { keepdims: 0 }), g.constant(threshold));
    const body = (name: string, weight: (b: Builder) => Value): Graph => {
      const inner = new Graph(name);
      const b = build(inner, name);
      const y = b.Conv(x, weight(b), bias, { strides: [2, 1] });
      y.name = `${name}_y`;
      inner.setOutputs([y]);
      return inner;
    };
    const [y] = g.many("If", [isAbove], {
      outputs: 1,
      attributes: {
        then_branch: body("then", () => outer),
        else_branch: body("else", (b) => b.constant(tensor("float32", V.shape, V.values))),
      },
    });
    [y.name, y.dtype] = ["y", "float32"];
    graph.setOutputs([y]);
    const model = createModel(graph, 21);
    inferModel(model);
    return model;
  }

  test.each([-1e9, 1e9])("taken above %d", async (threshold) => {
    const start = conditional(threshold);
    const model = cloneModel(start);
    for (const [i, chain] of chains.entries()) {
      const names = weightsIn(model).map(({ use }) => use.node.name);
      const layer = open(model, names.indexOf(["then/Conv", "else/Conv"][i])) as Layer;
      const nodes = replaceLayer(layer, chain) as Node[];
      expect(nodes.map(({ graph }) => graph)).toEqual([layer.node.graph, layer.node.graph]);
    }
    inferModel(model);
    expect(verify(model)).toEqual([]);
    expect([...model.graph.constants].map(({ name }) => name)).toEqual(["b", "constant"]);
    expect(await apart(start, model)).toBeLessThan(1e-5);
  });
});
