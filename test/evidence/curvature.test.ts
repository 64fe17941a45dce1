/** @file Gradients of single records, which are measured by a run of training that changes nothing. */
import { expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import { curvatures } from "../../src/evidence/curvature.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { thetasOf } from "../../src/weights/sites.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";

const random = createRandom(3);
const [inputs, outputs, records] = [8, 8, 16];

test("records count whose outputs are far larger than those of the first", async () => {
  const weight = Float32Array.from({ length: inputs * outputs }, () => random.normal());
  const model = layerModel(["N", inputs], (g, x) =>
    g.MatMul(x, g.constant(weight, { shape: [inputs, outputs] })),
  );
  // All but two records are 0. Wherever the run begins, one of the two comes after a 0.
  const values = new Float32Array(records * inputs);
  for (const i of [2, 11]) {
    for (let c = 0; c < inputs; c++) values[i * inputs + c] = 1e5 * (c + 1);
  }
  const x = tensor("float32", [records, inputs], values);
  const env = environmentOf(
    { name: "scales", model, feeds: () => ({ x }) },
    { training: tensorDataset({ x }) },
  );
  const train: Context["train"] = (own, options, hooks = {}) =>
    trainModel(own, trainOptions.parse(options), hooks, env, { label: "h", original: model });
  const context = { train } as Context;
  const sites = thetasOf(model, { only: [], except: [] } as never, { skip() {} });
  const [found] = await curvatures(model, sites, records, context);
  // For y = x W the curvature of W_co is E[x_c^2] times a factor of output o, the same for all c.
  for (let c = 0; c < inputs; c++) {
    for (let o = 0; o < outputs; o++) {
      const ratio = (found as Float64Array)[c * outputs + o] / (found as Float64Array)[o];
      expect(ratio).toBeCloseTo((c + 1) ** 2, 2);
    }
  }
});
