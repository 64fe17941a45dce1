/** @file Methods on weights that are stored in a form already: what they store gets smaller, the form stays. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { packSmallest } from "../../src/measure/pack.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { expand } from "../../src/weights/expand.ts";
import type { Form } from "../../src/weights/form.ts";
import { fitHashed } from "../../src/weights/forms/hashed.ts";
import { forms } from "../../src/weights/forms/index.ts";
import { readWeight } from "../../src/weights/read.ts";
import {
  type Composed,
  composed,
  type FloatWeight,
  leaf,
  type Weight,
  wholeLeaf,
} from "../../src/weights/weight.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";

const [rows, columns, classes, records] = [96, 128, 4, 192];
const shape = [rows, columns];
const random = createRandom(5);
const normal = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => scale * random.normal());
const formOf = (kind: string): Form => forms.find((form) => form.kind === kind) as Form;

const kronecker = (): Composed =>
  composed(formOf("kronecker"), shape, {
    a: leaf(normal(8 * 8 * 6, 0.3), [8, 8, 6]),
    b: leaf(normal(6 * 12 * 16, 0.3), [6, 12, 16]),
  });
const monarch = (): Composed =>
  composed(formOf("monarch"), shape, {
    left: leaf(normal(8 * 12 * 8, 0.3), [8, 12, 8]),
    right: leaf(normal(8 * 8 * 16, 0.3), [8, 8, 16]),
  });

/** Weights whose form has no element for each of W's. */
const made: Readonly<Record<string, () => Composed>> = {
  kronecker,
  monarch,
  vectors: () =>
    composed(formOf("vectors"), shape, {
      codebook: leaf(normal(256 * 4, 0.1), [256, 4]),
      index: wholeLeaf(
        Uint16Array.from({ length: (rows * columns) / 4 }, () => random.int(256)),
        [rows, columns / 4],
        false,
        8,
      ),
    }),
  hashed: () => fitHashed(normal(rows * columns, 0.1), shape, 1536, random),
  "quantized kronecker": () =>
    composed(formOf("quantized along axis 0"), shape, {
      weight: kronecker(),
      scale: leaf(new Float32Array(rows).fill(0.02), [rows]),
      zero_point: wholeLeaf(new Int8Array(rows), [rows], true, 8),
    }),
};

/** x [N, columns] -> W -> Relu -> classes. */
function modelOf(weight: FloatWeight): Model {
  const graph = new Graph("after");
  const g = build(graph);
  const x = graph.addInput("x", "float32", ["N", columns]);
  const hidden = g.Relu(g.Gemm(x, expand(g, weight), g.constant(normal(rows)), { transB: 1 }));
  const last = g.constant(normal(classes * rows, 0.1), { shape: [classes, rows] });
  const y = g.Gemm(hidden, last, g.constant(new Float32Array(classes)), { transB: 1 });
  y.name = "y";
  graph.setOutputs([y]);
  for (const [i, node] of graph.sorted().entries()) node.name = `${node.op}${i}`;
  const layers = graph.sorted().filter(({ op }) => op === "Gemm");
  for (const [i, name] of ["first", "last"].entries()) layers[i].name = name;
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

const feeds = (size: number) => ({ x: tensor("float32", [size, columns], normal(size * columns)) });
const labels = tensor(
  "int32",
  [records],
  Int32Array.from({ length: records }, (_, i) => i % 4),
);
const env = environmentOf(
  { name: "after", model: modelOf(kronecker()), feeds },
  {
    training: tensorDataset(feeds(records), labels, "after"),
    calibration: tensorDataset(feeds(64)),
    feeds: feeds(4),
  },
);

const firstWeight = (model: Model): FloatWeight => {
  inferModel(model);
  const weights = weightsOf(model).map(({ value }) => readWeight(value) as FloatWeight);
  return weights.find(({ shape: [size] }) => size === rows) as FloatWeight;
};

/** The kinds of forms from the outside in, down to those that store elements. */
function structure(weight: Weight): unknown {
  if (weight.form === null || weight.form.elements) return "numbers";
  return [
    weight.form.kind,
    Object.fromEntries(Object.entries(weight.theta).map(([name, part]) => [name, structure(part)])),
  ];
}

const storing: readonly (readonly [MethodId, Record<string, unknown>])[] = [
  ["quantize-weights", { bits: 4 }],
  ["quantize-weights", { bits: 8, block: 16 }],
  ["share-weights", { bits: 4 }],
  ["quantize-rate", { distortion: 0.01 }],
  ["quantize-rate", { distortion: 0.01, sensitivity: "gradient", records: 16 }],
  ["store-float16", {}],
  ["prune-magnitude", { sparsity: 0.8 }],
  ["prune-random", { sparsity: 0.8 }],
  ["prune-obd", { sparsity: 0.8, records: 16 }],
  ["hash-weights", { ratio: 4 }],
];

describe.each(Object.entries(made))("on %s", (name, make) => {
  // In turn with the form: every second method on each.
  const turn = Object.keys(made).indexOf(name);
  const some = storing.filter((_, i) => (i + turn) % 2 === 0);
  test.each(some)("%s %j stores the parts in fewer bytes", async (method, options) => {
    const start = modelOf(make());
    const before = firstWeight(start);
    const steps = parseRecipe([{ method, ...options }] as never);
    const { model, kept, bytes } = await applyRecipe(start, steps, env);
    expect(kept).toEqual([true]);
    const after = firstWeight(model);
    expect(structure(after)).toEqual(structure(before));
    expect(bytes.length).toBeLessThanOrEqual(concat(writeModel(start)).length);
    // Nothing is larger in the packed file either.
    const packed = (one: Model) =>
      packSmallest({ name: "m", source: { bytes: concat(writeModel(one)) }, model: one }).bytes;
    expect(packed(model).length).toBeLessThanOrEqual(packed(start).length);
  });

  const trains: readonly (readonly [MethodId, Record<string, unknown>])[] = [
    ["train", { keep: "last" }],
    ["train-rate", { lambda: 1e-6 }],
    ["prune-surgery", { sparsity: 0.5 }],
    ["prune-trained", { sparsity: 0.5 }],
    ["prune-trained", { sparsity: 0.5, regularizer: "l0" }],
    ["quantize-lsq", { activations: 0 }],
    ["binarize-connect", {}],
    ["binarize-bwn", { ends: 1 }],
    ["binarize-loss-aware", { ends: 1, bits: 2 }],
    ["ternarize-twn", { ends: 1 }],
    ["ternarize-ttq", { ends: 1 }],
  ];

  test.each(trains)("%s %j moves the parts that learn and no other", async (method, options) => {
    const start = modelOf(make());
    const before = firstWeight(start);
    const given = { epochs: 2, batch: 32, loss: "cross-entropy", ...options };
    const { model } = await apply(start, method, given, env);
    const after = firstWeight(model);
    expect(structure(after)).toEqual(structure(before));
    expect(moved(before, after)).toEqual({ learned: true, fixed: false });
  });

  test.each([
    "prune-wanda",
    "prune-obs",
    "prune-sparsegpt",
    "factor-svd",
    "prune-channels",
    "merge-neurons",
  ] as const)("%s leaves the layer alone and names the form", async (method) => {
    const start = modelOf(make());
    const { model, skipped } = await apply(start, method, {}, env);
    expect(structure(firstWeight(model))).toEqual(structure(firstWeight(start)));
    const reasons = skipped.filter(({ node }) => node === "first").map(({ reason }) => reason);
    expect(reasons.join()).toMatch(
      /is stored as (kronecker|monarch|vectors|hashed|quantized along axis 0)/,
    );
  });

  test.each(["quantize-int8", "quantize-dynamic"] as const)(
    "%s computes in int8 and stores nothing more",
    async (method) => {
      const start = modelOf(make());
      const { model, bytes } = await apply(start, method, {}, env);
      // All but the last layer's own weights.
      const sizes = ({ graph }: Model): number =>
        [...graph.constants]
          .flatMap(({ tensor: t }) => (t && t.size > rows && t.size !== classes * rows ? [t] : []))
          .reduce((sum, { byteLength }) => sum + byteLength, 0);
      expect(sizes(model)).toBe(sizes(start));
      const a = (await outputsOf(concat(writeModel(start)), env.feeds)).y.floats();
      const b = (await outputsOf(bytes, env.feeds)).y.floats();
      const error = b.reduce((sum, y, i) => sum + (y - a[i]) ** 2, 0);
      expect(error / a.reduce((sum, y) => sum + y * y, 0)).toBeLessThan(0.02);
      const kernel = method === "quantize-int8" ? "QGemm" : "DynamicQuantizeMatMul";
      const kernels = await kernelsOf(bytes);
      // What was quantized before keeps the float input that it had.
      const count = name === "quantized kronecker" ? 1 : 2;
      expect(kernels.filter((op) => op === kernel)).toHaveLength(count);
    },
  );
});

/** The operators that the engine runs in the end. */
async function kernelsOf(bytes: Uint8Array): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "tersor-kernels-"));
  try {
    const path = join(folder, "optimized.onnx");
    const session = await ort.InferenceSession.create(bytes, {
      optimizedModelFilePath: path,
      graphOptimizationLevel: "all",
      logSeverityLevel: 4,
    });
    await session.release();
    const { graph } = readModel(readFileSync(path), { name: path });
    return [...graph.nodes].map(({ op }) => op);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Whether some number of a part that learns, or of one that does not, is another than before. */
function moved(before: Weight, after: Weight): { learned: boolean; fixed: boolean } {
  if (before.form === null || after.form === null) {
    throw new Error("only forms have parts");
  }
  let [learned, fixed] = [false, false];
  for (const [name, part] of Object.entries(before.form.theta)) {
    const [a, b] = [before.theta[name], after.theta[name]];
    if (a.form && !a.form.elements) {
      const inner = moved(a, b);
      learned ||= inner.learned;
      fixed ||= inner.fixed;
    } else if (Array.from(a.values).some((x, i) => x !== b.values[i])) {
      if (part.learns) learned = true;
      else fixed = true;
    }
  }
  return { learned, fixed };
}
