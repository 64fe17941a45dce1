/** @file Activations on integers: each form against the function, on all levels, and as the engine fuses it. */
import { describe, expect, test } from "vitest";
import { Graph, type Node, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { type QuantParams, quantParams } from "../../src/numeric/quantize.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { integerActivationOf } from "../../src/ops/int8-activations.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

/** Phi(x) to 1.5e-7 (Abramowitz & Stegun 7.1.26). */
function phi(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * z);
  const poly =
    t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - poly * Math.exp(-z * z);
  return x < 0 ? (1 - erf) / 2 : (1 + erf) / 2;
}
const ramp = (x: number, alpha: number, beta: number): number =>
  Math.min(1, Math.max(0, alpha * x + beta));

interface Case {
  readonly draw: (g: Builder, x: Value) => Value;
  readonly f: (x: number) => number;
  /**
   * How far a value may be off before it is rounded to its own levels: a gate of 255 levels is off
   * by half of them, HardSigmoid's by another half, and x multiplies that.
   */
  readonly off: (x: number) => number;
}

const quick = (g: Builder, x: Value): Value =>
  g.many("QuickGelu", [x], {
    outputs: 1,
    domain: "com.microsoft",
    attributes: { alpha: 1.5 },
  })[0];

const cases: Readonly<Record<string, Case>> = {
  Tanh: { draw: (g, x) => g.Tanh(x), f: Math.tanh, off: () => 0 },
  Gelu: {
    draw: (g, x) => g.Gelu(x),
    f: (x) => x * phi(x),
    off: (x) => 0.0204 + (Math.abs(x) * 0.5) / 255,
  },
  "Gelu by tanh": {
    draw: (g, x) => g.Gelu(x, { approximate: "tanh" }),
    f: (x) => x * phi(x),
    off: (x) => 0.0204 + (Math.abs(x) * 0.5) / 255,
  },
  QuickGelu: {
    draw: quick,
    f: (x) => x / (1 + Math.exp(-1.5 * x)),
    off: (x) => (Math.abs(x) * 0.5) / 255,
  },
  "HardSigmoid of slope 1/6": {
    draw: (g, x) => g.HardSigmoid(x, { alpha: 1 / 6, beta: 0.5 }),
    f: (x) => ramp(x, 1 / 6, 0.5),
    off: (x) => (x > -3 && x < 3 ? 0.5 / 255 : 0),
  },
  // 255 * 0.2 is a whole number.
  "HardSigmoid of slope 0.3": {
    draw: (g, x) => g.HardSigmoid(x, { alpha: 0.3, beta: 0.2 }),
    f: (x) => ramp(x, 0.3, 0.2),
    off: () => 0,
  },
};

/** The node that an activation is, apart from any other. */
function nodeOf(draw: Case["draw"]): Node {
  const graph = new Graph("float");
  return draw(build(graph), graph.addInput("x", "float32", [256])).producer as Node;
}

const ALL = tensor(
  "uint8",
  [256],
  Array.from({ length: 256 }, (_, q) => q),
);

/** The levels that the form of an activation makes of each level of x, and what these stand for. */
function formed(draw: Case["draw"], x: QuantParams, range: readonly [number, number]) {
  const node = nodeOf(draw);
  const form = integerActivationOf(node);
  if (!form) throw new Error(`${node.op} has no form`);
  const y = form.output?.(node) ?? quantParams(...range);
  const graph = new Graph("form");
  const q = graph.addInput("q", "uint8", [256]);
  const levels = form.levels(build(graph), { q, ...x }, y, node);
  graph.setOutputs([levels]);
  inferModel(createModel(graph, 21));
  const made = levels === q ? ALL : evaluateGraph(graph, { q: ALL })[levels.name];
  const values = Array.from(made.numbers(), (level) => (Number(level) - y.zeroPoint) * y.scale);
  return { y, values };
}

describe.each(Object.entries(cases))("%s on levels", (_, { draw, f, off }) => {
  test.each([
    ["wide", quantParams(-7.5, 6.2)],
    ["narrow", quantParams(-0.4, 1.1)],
    ["from 0", quantParams(0, 4)],
  ])("of a %s range is the function", (_, x) => {
    const xs = Array.from(ALL.numbers(), (q) => (Number(q) - x.zeroPoint) * x.scale);
    const exact = xs.map(f);
    const { y, values } = formed(draw, x, [Math.min(...exact), Math.max(...exact)]);
    // Half a level more for rounding to the levels of y, and what sigmoids in float32 are off by.
    const far = values.map((value, i) => Math.abs(value - exact[i]) - off(xs[i]) - y.scale / 2);
    expect(Math.max(...far)).toBeLessThan(1e-5);
  });
});

test("the stated error of Gelu is its largest", () => {
  const errors = Array.from({ length: 16001 }, (_, i) => {
    const x = i / 1000 - 8;
    return Math.abs(x / (1 + Math.exp(-1.702 * x)) - x * phi(x));
  });
  const { error } = integerActivationOf(nodeOf(cases.Gelu.draw)) ?? { error: 0 };
  expect(error).toBeGreaterThanOrEqual(Math.max(...errors));
  expect(error - Math.max(...errors)).toBeLessThan(2e-4);
});

test("HardSigmoid is what saturating levels do: nothing is computed", () => {
  const { draw, f } = cases["HardSigmoid of slope 1/6"];
  const form = integerActivationOf(nodeOf(draw));
  const x = form?.input?.(nodeOf(draw)) as QuantParams;
  expect(x.zeroPoint).toBe(128);
  // 6 / 255 of x is 1 / 255 of y.
  expect(x.scale * 255).toBeCloseTo(6, 5);
  const { values } = formed(draw, x, [0, 1]);
  expect(values[0]).toBe(0);
  expect(values[255]).toBeCloseTo(1, 6);
  for (let q = 0; q < 256; q++) {
    expect(Math.abs(values[q] - f((q - 128) * x.scale))).toBeLessThan(0.5 / 255 + 1e-6);
  }
});

test.each([[{ alpha: -0.2 }], [{ beta: 1.5 }], [{ beta: -0.1 }]])(
  "HardSigmoid with %j has no form",
  (attributes) => {
    expect(integerActivationOf(nodeOf((g, x) => g.HardSigmoid(x, attributes)))).toBeNull();
  },
);

const random = createRandom(5);
const numbers = (size: number, scale: number): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const images = { x: tensor("float32", [16, 8, 4, 4], numbers(16 * 128, 1)) };
const env = environmentOf(nets[0], { calibration: tensorDataset(images), feeds: images });
const conv = (g: Builder, x: Value): Value =>
  g.Conv(x, g.constant(numbers(64, 0.5), { shape: [8, 8, 1, 1] }));
const pair = (draw: Case["draw"]) =>
  layerModel(["N", 8, 4, 4], (g, x) => conv(g, draw(g, conv(g, x))));

const { runtime } = await nodePlatform.runtime("node");

/** Operators that the engine runs, but for conversions of the input and the output. */
async function run(bytes: Uint8Array): Promise<string[]> {
  const times = (await runtime.profile({ bytes }, images, 1, { threads: 1 })) ?? [];
  return times.map(({ op }) => op).filter((op) => !/^((De)?[Qq]uantizeLinear|Transpose)$/.test(op));
}

const product = (g: Builder, x: Value): Value => g.Mul(x, g.HardSigmoid(x));

test.each([
  ["Tanh", cases.Tanh.draw, ["QLinearSigmoid"]],
  ["Gelu", cases.Gelu.draw, ["QLinearSigmoid", "QLinearMul"]],
  ["QuickGelu", quick, ["QLinearSigmoid", "QLinearMul"]],
  ["HardSigmoid", cases["HardSigmoid of slope 0.3"].draw, []],
  ["x HardSigmoid(x)", product, ["QLinearLeakyRelu", "QLinearMul"]],
] as const)("%s between layers is fused into integer kernels", async (_, draw, kernels) => {
  const model = pair(draw);
  const options = { activations: "approximate", calibrator: "minmax" };
  const { bytes } = await apply(model, "quantize-int8", options, env);
  expect(await run(bytes)).toEqual(["QLinearConv", ...kernels, "QLinearConv"]);
  const [before, after] = [concat(writeModel(model)), bytes].map((f) => outputsOf(f, images));
  expect(relativeError(await before, await after)).toBeLessThan(0.05);
});

const quickly = { calibrator: "minmax", equalize: false, correctBias: false };
const opsOf = async (model: ReturnType<typeof layerModel>, options = {}): Promise<string[]> =>
  [...(await apply(model, "quantize-int8", { ...quickly, ...options }, env)).model.graph.nodes].map(
    ({ op }) => op,
  );

test("Gelu stays as it is unless close forms are asked for", async () => {
  expect(await opsOf(pair(cases.Gelu.draw))).toContain("Gelu");
  expect(await opsOf(pair(cases.Gelu.draw), { activations: "approximate" })).not.toContain("Gelu");
});

test("the step tells what close forms cost", async () => {
  const model = pair(cases.Gelu.draw);
  const told = async (activations: string) => {
    const options = { ...quickly, activations };
    const { bytes, warnings } = await apply(model, "quantize-int8", options, env);
    const [before, after] = await Promise.all(
      [concat(writeModel(model)), bytes].map(async (file) => (await outputsOf(file, images)).y),
    );
    const [x, y] = [before.floats(), after.floats()];
    const noise = x.reduce((sum, each, i) => sum + (each - y[i]) ** 2, 0);
    const db = 10 * Math.log10(x.reduce((sum, each) => sum + each ** 2, 0) / noise);
    // On processors without VNNI the step warns of saturation as well.
    const own = warnings.filter((warning) => warning.startsWith("activations="));
    return { warnings: own, db: `${db.toFixed(1)} dB` };
  };
  const [exact, close] = [await told("exact"), await told("approximate")];
  expect(exact.warnings).toEqual([]);
  // The calibration records are the 16 that were just compared.
  expect(close.warnings).toEqual([
    `activations=approximate (1 Gelu): signal-to-noise ratio of the outputs ${close.db}, with activations=exact ${exact.db}`,
  ]);
});

test("an activation that something else reads in float stays as it is", async () => {
  const also = (read: (g: Builder, y: Value) => Value) =>
    layerModel(["N", 8, 4, 4], (g, x) => {
      const y = g.Tanh(conv(g, x));
      return g.Add(conv(g, y), read(g, y));
    });
  expect(await opsOf(also((g, y) => g.Exp(y)))).toContain("Tanh");
  expect(await opsOf(also((g, y) => conv(g, y)))).not.toContain("Tanh");
  expect(await opsOf(also((_, y) => y))).not.toContain("Tanh");
  // The output of the model.
  expect(await opsOf(layerModel(["N", 8, 4, 4], (g, x) => g.Tanh(conv(g, x))))).toContain("Tanh");
  expect(await opsOf(pair(cases.Tanh.draw), { ops: "weighted" })).toContain("Tanh");
});

test("what HardSigmoid reads is not saturated where something else reads it too", async () => {
  const model = layerModel(["N", 8, 4, 4], (g, x) => {
    const y = g.Mul(conv(g, x), g.constant([8, 8, 8, 8, 8, 8, 8, 8], { shape: [8, 1, 1] }));
    const wide = conv(g, y);
    return g.Add(conv(g, g.HardSigmoid(wide)), conv(g, wide));
  });
  const { bytes } = await apply(model, "quantize-int8", {}, env);
  expect(await run(bytes)).toContain("QLinearLeakyRelu");
  const [before, after] = [concat(writeModel(model)), bytes].map((f) => outputsOf(f, images));
  expect(relativeError(await before, await after)).toBeLessThan(0.05);
});
