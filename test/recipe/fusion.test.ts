import { describe, expect, test } from "vitest";
import type { Node, Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { build } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { fusionWarnings, refusedFusions } from "../../src/recipe/fusion.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

/** The engine needs to be able to tell its own times: the runtime of the platform can. */
const { runtime } = await nodePlatform.runtime("node");

const none = { layers: [], between: [], products: [], decoded: [] };

describe("layers meant for integer kernels", () => {
  const quantized = nets.filter(({ name }) => ["lenet5", "conv"].includes(name));

  test.each(quantized)("of $name all get one", async (net) => {
    const env = environmentOf(net, { runtime });
    const { model } = await apply(net.model, "quantize-int8", {}, env);
    expect(weightsOf(model).some(({ value }) => value.producer?.op === "DequantizeLinear")).toBe(
      true,
    );
    expect(await refusedFusions(model, env)).toEqual(none);
  });

  test("are named where the engine finds none", async () => {
    const [net] = quantized;
    const env = environmentOf(net, { runtime });
    const { model } = await apply(net.model, "quantize-int8", {}, env);
    // Without the weight's zero point ONNX Runtime 1.30 makes no QGemm.
    const gemms = weightsOf(model).filter(({ node }) => node.op === "Gemm");
    for (const { value } of gemms) value.producer?.setInput(2, null);
    const names = [...new Set(gemms.map(({ node }) => node.name))];
    expect(names.length).toBeGreaterThan(0);
    expect((await refusedFusions(model, env)).layers.toSorted()).toEqual(names.toSorted());
  });

  test("make a warning that names them", () => {
    const warnings = (changes: object) => fusionWarnings({ ...none, ...changes });
    expect(warnings({})).toEqual([]);
    expect(warnings({ layers: ["fc1"] })[0]).toContain("1 layer (fc1)");
    const many = warnings({ decoded: ["a", "b", "c", "d", "e", "f", "g"], products: ["p"] });
    expect(many[0]).toContain("1 integer product (p)");
    expect(many[1]).toContain("7 layers (a, b, c, d, e and 2 more)");
  });
});

describe("other fusions", () => {
  const netOf = (name: string) => nets.find((net) => net.name === name) as (typeof nets)[number];

  test.each([
    ["quantize-dynamic", "transformer"],
    ["share-weights", "conv"],
    ["quantize-weights", "transformer"],
    ["kronecker", "gemms"],
  ] as const)("%s on %s: none is refused", async (method, name) => {
    const net = netOf(name);
    const env = environmentOf(net, { runtime });
    const { model } = await apply(net.model, method, {}, env);
    expect(await refusedFusions(model, env)).toEqual(none);
  });

  test("a sum in float between integer layers is named", async () => {
    const net = netOf("conv");
    const env = environmentOf(net, { runtime });
    const { model } = await apply(net.model, "quantize-int8", {}, env);
    const add = [...model.graph.nodes].find(({ op }) => op === "Add") as Node;
    // No kernel adds 8 bits to 16.
    const dequantize = add.inputs[0]?.producer as Node;
    const [x, scale] = [dequantize.inputs[0]?.producer?.inputs[0], dequantize.inputs[1]];
    const g = build(model.graph, "other");
    const zero = g.constant(0, { dtype: "uint16" });
    const other = g.DequantizeLinear(g.QuantizeLinear(x, scale, zero), scale, zero);
    add.setInput(0, other);
    expect((await refusedFusions(model, env)).between).toEqual([add.name]);
  });

  test("a gate in float between integer layers is named", async () => {
    const x = tensor(
      "float32",
      [2, 4, 3, 3],
      Float32Array.from({ length: 72 }, (_, i) => i % 7),
    );
    const start = layerModel(["N", 4, 3, 3], (g, input) => {
      const eye = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0.1));
      const conv = (y: Value) => g.Conv(y, g.constant(eye, { shape: [4, 4, 1, 1] }));
      const first = conv(input);
      return conv(g.Mul(first, g.Sigmoid(first)));
    });
    const own = { runtime, calibration: tensorDataset({ x }), feeds: { x } };
    const env = environmentOf(netOf("conv"), own);
    const { model } = await apply(start, "quantize-int8", {}, env);
    expect(await refusedFusions(model, env)).toEqual(none);
    const sigmoid = [...model.graph.nodes].find(({ op }) => op === "Sigmoid") as Node;
    // Levels of 16 bits have no kernel.
    const quantize = sigmoid.output.consumers[0];
    const g = build(model.graph, "wide");
    const zero = g.constant(0, { dtype: "uint16" });
    quantize.setInput(2, zero);
    for (const next of quantize.output.consumers) next.setInput(2, zero);
    expect((await refusedFusions(model, env)).between).toContain(sigmoid.name);
  });

  test("a product whose scale is used apart from it is named", async () => {
    const net = netOf("gemms");
    const env = environmentOf(net, { runtime });
    const { model } = await apply(net.model, "quantize-dynamic", {}, env);
    const product = [...model.graph.nodes].find(({ op }) => op === "MatMulInteger") as Node;
    const cast = product.output.consumers[0];
    const g = build(model.graph, "apart");
    // An Abs keeps the engine from reading the Cast and the scale as one.
    for (const next of cast.output.consumers) {
      const index = next.inputs.indexOf(cast.output);
      next.setInput(index, g.Neg(g.Neg(cast.output)));
    }
    expect((await refusedFusions(model, env)).products).toEqual([product.name]);
  });

  test("weights that are decoded at every run are named", async () => {
    const net = netOf("lenet5");
    const env = environmentOf(net, { runtime });
    const { model } = await apply(net.model, "share-weights", {}, env);
    const layer = weightsOf(model).find(({ node }) => node.op === "Conv")?.node as Node;
    // The engine never folds a DequantizeLinear.
    const g = build(model.graph, "kept");
    const levels = g.constant(new Int8Array([1]), { dtype: "int8", shape: [] });
    const zero = g.constant(new Int8Array([0]), { dtype: "int8", shape: [] });
    const one = g.DequantizeLinear(levels, g.constant(1), zero);
    layer.setInput(1, g.Mul(layer.inputs[1], one));
    expect((await refusedFusions(model, env)).decoded).toEqual([layer.name]);
  });
});
