/** @file Latents: what is opened for training learns, is saved, goes on, and closes into what it learned. */
import { describe, expect, test } from "vitest";
import { Graph, type Node, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import type { Checkpoints } from "../../src/platform.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { type Latent, type Opened, open } from "../../src/weights/latent.ts";
import { readWeight } from "../../src/weights/read.ts";
import { leaf } from "../../src/weights/weight.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";

const [inputs, hidden, classes, records] = [12, 16, 3, 240];
const random = createRandom(31);
const normal = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => scale * random.normal());

const x = normal(records * inputs);
const labels = Int32Array.from({ length: records }, (_, i) => i % classes);
for (let i = 0; i < records; i++) x[i * inputs + labels[i]] += 2;

/** x -> MatMul -> BatchNormalization -> Relu -> Add(Gemm, shortcut). */
function draw(): Model {
  const graph = new Graph("latents");
  const g = build(graph);
  const input = graph.addInput("x", "float32", ["N", inputs]);
  const dense = (from: Value, rows: number, columns: number): Value =>
    g.MatMul(from, g.constant(normal(rows * columns, 0.3), { shape: [rows, columns] }));
  const vector = (value: number): Value => g.constant(new Float32Array(hidden).fill(value));
  const norm = g.BatchNormalization(dense(input, inputs, hidden), ...[1, 0, 0, 1].map(vector));
  const middle = g.Relu(norm);
  const sum = g.Add(middle, g.Relu(dense(middle, hidden, hidden)));
  const y = g.Gemm(sum, g.constant(normal(hidden * classes, 0.3), { shape: [hidden, classes] }));
  y.name = "y";
  graph.setOutputs([y]);
  for (const [i, node] of graph.sorted().entries()) node.name = `${node.op.toLowerCase()}${i}`;
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

const feeds = (size: number) => ({
  x: tensor("float32", [size, inputs], x.slice(0, size * inputs)),
});
const env = (changes: Partial<Environment> = {}): Environment =>
  environmentOf(
    { name: "latents", model: draw(), feeds },
    {
      training: tensorDataset(feeds(records), tensor("int32", [records], labels), "latents"),
      calibration: tensorDataset(feeds(32)),
      feeds: feeds(8),
      ...changes,
    },
  );

const options = { batch: 24, loss: "cross-entropy", holdout: 0, keep: "last" } as const;
const train = (model: Model, latents: readonly Opened[], given = {}) =>
  trainModel(model, trainOptions.parse({ ...options, ...given }), { latents }, env(), {
    label: "1 latents",
    original: model,
  });

const layers = (model: Model) => weightsOf(model);
const kept = { epochs: 4, ...options };

describe("methods made of latents", () => {
  test.each([
    ["prune-surgery", { sparsity: 0.5 }],
    ["prune-trained", { sparsity: 0.5, regularizer: "l0" }],
    ["train-rate", {}],
    ["quantize-lsq", {}],
    ["binarize-connect", { rounding: "stochastic" }],
    ["binarize-loss-aware", { ends: 1, bits: 2 }],
  ] as const)("%s goes on from a checkpoint as if it had never stopped", async (method, given) => {
    const { epochs, batch, loss } = kept;
    const steps = parseRecipe([{ method, epochs, batch, loss, ...given }] as never);
    const start = draw();
    const whole = await applyRecipe(start, steps, env());
    const saved = new Map<string, Uint8Array>();
    const checkpoints: Checkpoints = {
      load: async (name) => saved.get(name) ?? null,
      save: async (name, bytes) => void saved.set(name, bytes),
      where: (name) => name,
    };
    // 40 steps: one checkpoint is at the end; stop after a save by an early one.
    const half = steps.map((step) => ({ ...step, options: { ...step.options, epochs: 11 } }));
    const full = await applyRecipe(start, half, env());
    const stop = new AbortController();
    const interrupted = applyRecipe(
      start,
      half,
      env({
        signal: stop.signal,
        checkpoints: {
          ...checkpoints,
          async save(name, bytes) {
            await checkpoints.save(name, bytes);
            stop.abort();
          },
        },
      }),
    );
    await expect(interrupted).rejects.toMatchObject({ code: "aborted" });
    expect(saved.size).toBe(1);
    const resumed = await applyRecipe(start, half, env({ checkpoints }));
    expect(Buffer.compare(resumed.bytes, full.bytes)).toBe(0);
    expect(Buffer.compare(resumed.bytes, whole.bytes)).not.toBe(0);
  });

  test("normalizations follow their batches beside latents", async () => {
    const start = draw();
    const steps = parseRecipe([{ method: "binarize-connect", epochs: 2, batch: 24 }] as never);
    const { model } = await applyRecipe(start, steps, env());
    const [norm] = [...start.graph.nodes].filter(({ op }) => op === "BatchNormalization");
    const mean = norm.inputs[3]?.tensor?.floats() as Float32Array;
    const left = [...model.graph.nodes].find(({ op }) => op === "BatchNormalization");
    // Folded into something, or its running mean has moved from 0.
    expect(mean.every((m) => m === 0)).toBe(true);
    const moved = left?.inputs[3]?.tensor?.floats();
    expect(moved === undefined || moved.some((m) => m !== 0)).toBe(true);
  });
});

describe("a latent", () => {
  const at = (model: Model, index: number) => layers(model)[index];

  test("keeps its bounds, is rid of gradients at rate 0, and closes into what it learned", async () => {
    const model = draw();
    const { node, value } = at(model, 0);
    const { values, shape } = readWeight(value)!;
    let closed: Record<string, Float32Array> = {};
    const latent: Latent<"w" | "fixed"> = {
      theta: {
        w: { start: values, shape, min: -0.2, max: 0.2 },
        fixed: { start: Float32Array.of(1), shape: [], rate: 0 },
      },
      build: (g, { w, fixed }) => g.Mul(w, fixed),
      close(theta) {
        closed = theta;
        return leaf(theta.w, shape);
      },
    };
    await train(model, [open({ node, value }, latent)], { epochs: 2 });
    expect(closed.fixed[0]).toBe(1);
    expect(closed.w.every((w) => Math.abs(w) <= Math.fround(0.2))).toBe(true);
    expect(closed.w.some((w, i) => w !== values[i] && Math.abs(w) < 0.2)).toBe(true);
    inferModel(model);
    expect(readWeight(at(model, 0).value)!.values).toEqual(closed.w);
  });

  test("opens an activation for the readers that it names, and for no other", async () => {
    const model = draw();
    const relu = [...model.graph.sorted()].find(({ op }) => op === "Relu") as Node;
    const reader = relu.output.consumers.find(({ op }) => op === "MatMul") as Node;
    const latent: Latent<"scale"> = {
      theta: { scale: { start: Float32Array.of(1), shape: [] } },
      build: (g, { scale }, value) => g.Mul(value, scale),
      close:
        ({ scale }) =>
        (g, value) =>
          g.Mul(value, g.constant(scale[0], { name: "learned" })),
    };
    await train(model, [open({ node: reader, value: relu.output, readers: [reader] }, latent)], {
      epochs: 2,
    });
    const readers = relu.output.consumers.map(({ op }) => op).sort();
    expect(readers).toEqual(["Add", "Mul"]);
    expect(reader.inputs[0]?.producer?.op).toBe("Mul");
    const scale = reader.inputs[0]?.producer?.inputs[1]?.tensor?.floats()[0];
    expect(scale).not.toBe(1);
    await outputsOf(concat(writeModel(model)), feeds(4));
  });

  test("zeros stay zeros only where it says so", async () => {
    const zeroed = async (keepsZeros: boolean): Promise<Float32Array> => {
      const model = draw();
      const { node, value } = at(model, 0);
      const { values, shape } = readWeight(value)!;
      const start = values.map((w, i) => (i % 3 === 0 ? 0 : w));
      let learned: Float32Array = start;
      const latent: Latent<"w"> = {
        theta: { w: { start, shape, keepsZeros } },
        build: (_, { w }) => w,
        close({ w }) {
          learned = w;
          return leaf(w, shape);
        },
      };
      await train(model, [open({ node, value }, latent)], { epochs: 1 });
      return learned;
    };
    expect((await zeroed(true)).filter((w) => w === 0).length).toBeGreaterThan(60);
    expect((await zeroed(false)).filter((w) => w === 0)).toHaveLength(0);
  });
});
