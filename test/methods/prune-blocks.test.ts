/** @file Residual blocks that go: those that change what goes through them least. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(8);
const numbers = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const x = tensor("float32", [32, 6], numbers(32 * 6));
const env = environmentOf(nets[0], { calibration: tensorDataset({ x }) });
const dense = (g: Builder, y: Value, scale: number, width = 6): Value =>
  g.MatMul(y, g.constant(numbers(6 * width, scale), { shape: [6, width] }));

/** layer 1, then y + f(y) three times, of which the second is the weakest; then 2 scores. */
const net = (middle: number): Model =>
  layerModel(["N", 6], (g, input) => {
    let y = g.Relu(dense(g, input, 1));
    for (const scale of [0.5, middle, 0.4]) {
      y = g.Relu(g.Add(y, dense(g, g.Relu(dense(g, y, 0.5)), scale)));
    }
    // Not a block: no layer lies between the two.
    return dense(g, g.Add(g.Mul(y, g.constant(2)), y), 1, 2);
  });

test("a block that adds nothing goes without a trace, and no other", async () => {
  const model = net(0);
  const {
    model: pruned,
    bytes,
    warnings,
  } = await apply(model, "prune-blocks", { ratio: 0.34 }, env);
  expect(weightsOf(pruned).map(({ node }) => node.name)).toEqual(
    weightsOf(model)
      .map(({ node }) => node.name)
      .filter((_, i) => i !== 3 && i !== 4),
  );
  expect(warnings.join()).toMatch(/layer8 .*\(gone\), layer/);
  const outputs = [concat(writeModel(model)), bytes].map((each) => outputsOf(each, { x }));
  expect(relativeError(await outputs[0], await outputs[1])).toBeLessThan(1e-6);
});

/**
 * x -> layer -> three times relu(y + f(y)), of a shape whose axis `axis` holds the features and
 * whose other axes, but the first, count tokens. The first token of every record is 30 times as
 * long as the others, and the second is zero.
 */
const tokenNets = {
  "records as tokens": { shape: [6], axis: 1, layer: (g: Builder, y: Value) => dense(g, y, 0.4) },
  "rows as tokens": { shape: [5, 6], axis: 2, layer: (g: Builder, y: Value) => dense(g, y, 0.4) },
  "positions of an image as tokens": {
    shape: [6, 2, 3],
    axis: 1,
    layer: (g: Builder, y: Value) =>
      g.Conv(y, g.constant(numbers(36, 0.4), { shape: [6, 6, 1, 1] })),
  },
};

test.each(Object.entries(tokenNets))(
  "influence is 1 - cos per token, averaged (arXiv 2403.03853): %s",
  async (_, { shape, axis, layer }) => {
    const model = layerModel(["N", ...shape], (g, input) => {
      let y = g.Relu(layer(g, input));
      for (let i = 0; i < 3; i++) y = g.Relu(g.Add(y, layer(g, g.Relu(layer(g, y)))));
      return layer(g, y);
    });
    const dims = [32, ...shape];
    const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1);
    const outer = dims.slice(0, axis).reduce((a, b) => a * b, 1);
    /** The flat positions of the features of each token. */
    const tokens = Array.from({ length: outer * inner }, (_, token) => {
      const start = Math.floor(token / inner) * 6 * inner + (token % inner);
      return Array.from({ length: 6 }, (_, k) => start + k * inner);
    });
    const perRecord = tokens.length / 32;
    const values = numbers(32 * perRecord * 6);
    for (const [t, places] of tokens.entries()) {
      const scale = [30, 0][t % perRecord] ?? 1;
      if (perRecord > 1) for (const at of places) values[at] *= scale;
    }
    const data = { x: tensor("float32", dims, values) };
    const sums = model.graph
      .sorted()
      .filter(({ op }) => op === "Add")
      .map((sum) => [sum.inputs[0] as Value, sum.output.consumers[0].output]);
    const seenModel = cloneModel(model);
    for (const [i, value] of sums.flat().entries()) value.name = `v${i}`;
    const named = cloneModel(model);
    named.graph.setOutputs(
      [...named.graph.nodes].flatMap(({ outputs }) =>
        outputs.filter(({ name }) => /^v/.test(name)),
      ),
    );
    const seen = await outputsOf(concat(writeModel(named)), data);
    const expected = sums.map((pair) => {
      const [a, b] = pair.map(({ name }) => seen[name].floats());
      const cosines = tokens.map((places) => {
        const dot = (p: Float32Array, q: Float32Array) =>
          places.reduce((sum, at) => sum + p[at] * q[at], 0);
        const [aa, bb] = [dot(a, a), dot(b, b)];
        // Where only one of the two is zero they have nothing in common; where both are, all.
        return aa * bb === 0 ? Number(aa === bb) : dot(a, b) / Math.sqrt(aa * bb);
      });
      return 1 - cosines.reduce((sum, cosine) => sum + cosine, 0) / tokens.length;
    });
    const calibration = tensorDataset(data);
    const { warnings } = await apply(
      seenModel,
      "prune-blocks",
      { ratio: 0.34 },
      {
        ...environmentOf(nets[0], { calibration }),
        feeds: data,
      },
    );
    const told =
      warnings
        .join()
        .match(/(?<= )\d\.\d+(e-\d+)?/g)
        ?.map(Number) ?? [];
    const sorted = expected.sort((a, b) => a - b);
    expect(told.length).toBe(3);
    for (const [i, influence] of sorted.entries()) {
      expect(Math.abs(told[i] / influence - 1)).toBeLessThan(0.06);
    }
  },
);

test("a block that turns most tokens stays, however long the one is that it leaves alone", async () => {
  // The first feature is long in the first token of four only. Block 1 turns the other two by 90
  // degrees; block 2 adds a tenth of the first feature to the second. Per token block 2 changes
  // less, 0.0015 beside 0.67; of all tokens as one vector block 1 does, 0.0008 beside 0.005.
  const turn = [0, 0, 0, 0, -1, 1, 0, -1, -1];
  const lean = [0, 0.1, 0, 0, 0, 0, 0, 0, 0];
  const model = layerModel(["N", 4, 3], (g, input) => {
    const by = (y: Value, w: number[]) => g.MatMul(y, g.constant(w, { shape: [3, 3] }));
    const y = by(input, [1, 0, 0, 0, 1, 0, 0, 0, 1]);
    const first = g.Add(y, by(y, turn));
    return by(g.Add(first, by(first, lean)), [1, 0, 0, 0, 1, 0, 0, 0, 1]);
  });
  const values = Float32Array.from({ length: 32 * 12 }, (_, i) =>
    i % 12 === 0 ? 100 : i % 3 === 0 ? 0.5 : 1,
  );
  const data = { x: tensor("float32", [32, 4, 3], values) };
  const { model: pruned } = await apply(
    model,
    "prune-blocks",
    { ratio: 0.5, repair: "none" },
    environmentOf(nets[0], { calibration: tensorDataset(data), feeds: data }),
  );
  const left = weightsOf(pruned).map(({ value }) => [...(value.tensor?.floats() ?? [])]);
  expect(left).toContainEqual(turn);
  expect(left).toHaveLength(3);
});

test("blocks of which a layer is left out stay", async () => {
  const { model } = await apply(net(0), "prune-blocks", { ratio: 0.5, except: ["layer8"] }, env);
  expect(weightsOf(model).map(({ node }) => node.name)).toContain("layer8");
});

test("what stands for blocks gives nearly what they gave, where they were nearly linear", async () => {
  // y + A tanh(B y) twice in a row, with small B: tanh(z) ~ z.
  const model = layerModel(["N", 6], (g, input) => {
    let y = dense(g, input, 1);
    for (let i = 0; i < 2; i++) y = g.Add(y, dense(g, g.Tanh(dense(g, y, 0.01)), 8));
    return dense(g, g.Relu(y), 1, 2);
  });
  // Records enough to set a half aside, and so to fit closely.
  const many = tensorDataset({ x: tensor("float32", [512, 6], numbers(512 * 6)) });
  const enough = environmentOf(nets[0], { calibration: many });
  const expected = await outputsOf(concat(writeModel(model)), { x });
  const errorOf = async (repair: string) => {
    const options = { ratio: 1, repair, records: 512 };
    const pruned = await apply(model, "prune-blocks", options, enough);
    const error = relativeError(expected, await outputsOf(pruned.bytes, { x }));
    return { error, layers: weightsOf(pruned.model).length };
  };
  const [none, fitted] = [await errorOf("none"), await errorOf("least-squares")];
  // The first and the last; and one for both blocks.
  expect([none.layers, fitted.layers]).toEqual([2, 3]);
  expect(none.error).toBeGreaterThan(0.2);
  expect(fitted.error).toBeLessThan(0.05);
});

test("neighbours that go leave together, whichever is the weaker", async () => {
  for (const scales of [
    [0.01, 0.02, 1],
    [0.02, 0.01, 1],
  ]) {
    const model = layerModel(["N", 6], (g, input) => {
      let y = dense(g, input, 1);
      for (const scale of scales) y = g.Add(y, dense(g, g.Relu(dense(g, y, 0.5)), scale));
      return dense(g, y, 1, 2);
    });
    const { model: pruned } = await apply(
      model,
      "prune-blocks",
      { ratio: 0.67, repair: "none" },
      env,
    );
    const names = weightsOf(model).map(({ node }) => node.name);
    const left = weightsOf(pruned).map(({ node }) => node.name);
    expect(left).toEqual([names[0], ...names.slice(5)]);
  }
});

test.each([
  ["Neg and Cast", -1],
  ["Cast", 1],
])("in half precision blocks go, and nothing stands for them: %s follows", async (_, sign) => {
  const half = (g: Builder, y: Value, scale: number) =>
    g.MatMul(y, g.Cast(g.constant(numbers(36, scale), { shape: [6, 6] }), { to: 10 }));
  const model = layerModel(["N", 6], (g, input) => {
    const y = g.Cast(input, { to: 10 });
    const sum = g.Add(y, half(g, g.Relu(half(g, y, 0.5)), 0.1));
    return g.Cast(sign < 0 ? g.Neg(sum) : sum, { to: 1 });
  });
  const { bytes } = await apply(model, "prune-blocks", { ratio: 1 }, env);
  const [output] = Object.values(await outputsOf(bytes, { x }));
  const expected = tensor(
    "float32",
    x.shape,
    x.floats().map((v) => sign * v),
  );
  expect(relativeError({ y: expected }, { y: output })).toBeLessThan(1e-3);
});

test("among convolutions a 1x1 Conv stands", async () => {
  const conv = nets.find(({ name }) => name === "conv") as (typeof nets)[number];
  const { model, bytes } = await apply(
    conv.model,
    "prune-blocks",
    { ratio: 1 },
    environmentOf(conv),
  );
  const stands = weightsOf(model).filter(({ value }) => value.shape?.slice(2).join() === "1,1");
  expect(stands.map(({ node }) => node.op)).toEqual(["Conv"]);
  await outputsOf(bytes, conv.feeds(2));
});
