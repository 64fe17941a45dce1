import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import type { Geometry } from "../../src/ops/grad/conv-geometry.ts";
import { inputForms } from "../../src/ops/grad/conv-input.ts";
import { weightForms } from "../../src/ops/grad/conv-weight.ts";
import { defaultForms, type Forms } from "../../src/ops/grad/forms.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { backward } from "../../src/train/backward.ts";
import { type Choices, formsOf, tune } from "../../src/train/tune.ts";
import { expectClose, runOrt } from "./gradients.ts";

/** A convolution, a strided depthwise one, a depthwise 5x5, a pointwise one; batch 3. */
function network(forms: Forms): Model {
  const graph = new Graph("blocked");
  const random = createRandom(2);
  const x = graph.addInput("x", "float32", [3, 16, 9, 8]);
  const g = build(graph);
  const weight = (...shape: number[]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: size }, () => random.float() - 0.5);
    return g.constant(values, { shape });
  };
  const weights = [
    weight(32, 16, 3, 3),
    weight(32, 1, 3, 3),
    weight(32, 1, 5, 5),
    weight(16, 32, 1, 1),
    weight(32),
  ];
  let y = g.Relu(g.Conv(x, weights[0], weights[4], { pads: [1, 1, 1, 1] }));
  y = g.Relu(g.Conv(y, weights[1], { group: 32, strides: [2, 2], pads: [1, 1, 1, 1] }));
  y = g.Relu(g.Conv(y, weights[2], { group: 32, pads: [2, 2, 2, 2] }));
  y = g.Conv(y, weights[3]);
  const loss = g.ReduceMean(g.Mul(y, y), { keepdims: 0 });
  graph.setOutputs([loss]);
  const model = createModel(graph, 21);
  const gradients = backward(model, loss, [x, ...weights], { forms });
  graph.setOutputs([loss, ...gradients.values()]);
  for (const [i, output] of graph.outputs.entries()) output.name = `output${i}`;
  return model;
}

/** Blocked wherever it fits. */
const blockedForms = (form: "blocked16" | "blocked8"): Forms => {
  const fits =
    (forms: Record<string, { fits: (geometry: Geometry) => boolean }>) => (g: Geometry) =>
      forms[form].fits(g);
  const [input, weight] = [fits(inputForms), fits(weightForms)];
  return {
    output: () => form,
    input: (geometry) => (input(geometry) ? form : defaultForms.input(geometry)),
    weight: (geometry) => (weight(geometry) ? form : defaultForms.weight(geometry)),
  };
};

const random = createRandom(3);
const values = Float32Array.from({ length: 3 * 16 * 9 * 8 }, () => random.float() - 0.5);
const feeds = { x: tensor("float32", [3, 16, 9, 8], values) };
const run = async (model: Model) => Object.values(await runOrt(cloneModel(model), feeds));
const exact = await run(network(defaultForms));

const runtime = await openNodeRuntime();
const bench = {
  open: (bytes: Uint8Array) => runtime.open({ bytes }),
  cpuMs: () => performance.now(),
};
const choices: Choices = await tune(network, bench);

describe("convolutions in the engine's own layout", () => {
  test("the tuner finds the block that this processor has, or none", async () => {
    const works: string[] = [];
    for (const form of ["blocked16", "blocked8"] as const) {
      const found = await run(network(blockedForms(form))).catch(() => null);
      const isSame = found?.every((part, k) =>
        part.every((value, i) => Math.abs(value - exact[k][i]) < 1e-4),
      );
      if (!isSame) continue;
      works.push(form);
      for (const [k, part] of (found ?? []).entries()) expectClose(part, exact[k], 1e-5, `${k}`);
    }
    expect(works.length).toBeLessThan(2);
    if (works.length === 0) console.warn("skipped: this engine has no blocked layout");
    const chosen = new Set(Object.values(choices).filter((form) => form.startsWith("blocked")));
    for (const form of chosen) expect(works).toContain(form);
  });

  test("gradients by the forms that were chosen are the default's", async () => {
    const found = await run(network(formsOf(choices)));
    for (const [k, part] of found.entries()) expectClose(part, exact[k], 1e-5, `output ${k}`);
  });
});
