/** @file Parameters kept by a value on held-out records, closed as they would be stored. */
import { expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { cloneModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { thetaIn } from "../../src/train/parameters.ts";
import { open } from "../../src/weights/latent.ts";
import { leaf } from "../../src/weights/weight.ts";
import { hooksOf } from "../methods/latents.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";

test("the best of the places that were looked at is kept, by |y' - y|^2 / |y|^2", async () => {
  const teacher = layerModel(["N", 2], (g, x) =>
    g.MatMul(x, g.constant(Float32Array.of(1, 0, 0, 1), { shape: [2, 2], name: "W" })),
  );
  const model = cloneModel(teacher);
  inferModel(model);
  const [node] = model.graph.sorted();
  const value = node.inputs[1] as Value;
  // W = (1 + v) I, while it is open (1 + v / 2) I: only what it closes into is to be compared.
  const scaled = (v: number) => Float32Array.of(1 + v, 0, 0, 1 + v);
  const eye = tensor("float32", [2, 2], scaled(0));
  const opened = open(
    { node, value },
    {
      theta: { v: { start: Float32Array.of(13), shape: [] } },
      build: (g, { v }) =>
        g.Mul(
          g.constant(eye.floats(), { shape: [2, 2] }),
          g.Add(g.Mul(v, g.constant(0.5)), g.constant(1)),
        ),
      close: ({ v: [own] }) => leaf(scaled(own), [2, 2]),
    },
  );
  const x = tensor(
    "float32",
    [40, 2],
    Float32Array.from({ length: 80 }, (_, i) => 1 + (i % 7)),
  );
  const env = environmentOf(
    { name: "held", model, feeds: () => ({ x }) },
    { training: tensorDataset({ x }), calibration: null, feeds: { x } },
  );
  const given = { steps: 40, batch: 8, holdout: 0.2, keep: "best", loss: "features" } as const;
  const trained = await trainModel(
    model,
    trainOptions.parse({ ...given, hints: [node.name], except: ["*"] }),
    {
      ...{ latents: [opened], teacher },
      heldOut: { value: node.output, target: teacher.graph.outputs[0], looks: 8 },
      // v is |13 - step|: at the places 5, 10, 15 ... the least is 2, at 15.
      afterUpdate: (state, step) => {
        const v = thetaIn(step.parameters, opened.latent, "v", state.parameters);
        (v as Float32Array)[0] = Math.abs(13 - (state.step + 1));
      },
    },
    env,
    { label: "held", original: teacher },
  );
  expect(
    trained.curve.filter(({ score }) => score !== null).map(({ step, score }) => [step, score]),
  ).toEqual([5, 10, 15, 20, 25, 30, 35, 40].map((step) => [step, -((13 - step) ** 2)]));
  expect(trained.score).toBeCloseTo(-4, 5);
  const kept = model.graph.sorted()[0].inputs[1]?.tensor?.floats();
  expect([...(kept ?? [])]).toEqual([3, 0, 0, 3]);
});

test("quantize-brecq compares each block with what it gave before", async () => {
  const { heldOut, teacher } = await hooksOf("quantize-brecq", {
    ends: 3,
    activations: 0,
    steps: 4,
  });
  expect(heldOut?.looks).toBeGreaterThan(2);
  expect(teacher?.graph.outputs).toContain(heldOut?.target);
  expect(heldOut?.value.isOutput).toBe(true);
  expect(heldOut?.value).not.toBe(heldOut?.target);
});
