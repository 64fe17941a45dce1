/** @file Pruned layers that are rebuilt against the original, or against another teacher by name. */
import { expect, test } from "vitest";
import { cloneModel } from "../../src/ir/model.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { net, quarters } from "../support/quarters.ts";

const training = quarters(256, 3);

/** ||b - a|| / ||a|| */
function relativeNoise(a: Float32Array, b: Float32Array): number {
  const length = (values: Float32Array) => Math.hypot(...values);
  return length(b.map((value, i) => value - a[i])) / length(a);
}

test("layers are rebuilt against the start's, and by name against a teacher's", async () => {
  const env = environmentOf(net, { training });
  const { inputs } = await quarters(64, 9).read(Array.from({ length: 64 }, (_, i) => i));
  const noiseOf = async (recipe: string, changes: Partial<Environment> = {}) => {
    const { model } = await applyRecipe(net.model, parseRecipe(recipe), { ...env, ...changes });
    const reference = await outputsOf(concat(writeModel(net.model)), inputs);
    const outputs = await outputsOf(concat(writeModel(model)), inputs);
    return relativeNoise(Object.values(reference)[0].floats(), Object.values(outputs)[0].floats());
  };
  const hurt = await noiseOf("prune-magnitude:sparsity=0.7");
  const train = "train:epochs=4,batch=32,rate=0.003";
  const rebuilt = await noiseOf(`prune-magnitude:sparsity=0.7 > ${train},loss=features`);
  expect(rebuilt).toBeLessThan(0.7 * hurt);
  const [first] = weightsOf(net.model).map(({ node }) => node.name);
  const hinted = await noiseOf(`prune-magnitude:sparsity=0.7 > ${train},hints=${first}`, {
    teacher: net.model,
  });
  expect(hinted).toBeLessThan(hurt);
  const stranger = cloneModel(net.model);
  stranger.graph.inputs[0].name = "pixels";
  const named = await noiseOf(`prune-magnitude:sparsity=0.7 > ${train},loss=logits`, {
    teacher: stranger,
  });
  expect(named).toBeLessThan(hurt);
  const pruned = "prune-magnitude:sparsity=0.7";
  const unknown = noiseOf(`${pruned} > ${train},hints=nothing*`);
  await expect(unknown).rejects.toMatchObject({ code: "no-match" });
  const misfit = noiseOf(`${pruned} > ${train},hints=${first}=nothing`);
  await expect(misfit).rejects.toThrow('the teacher has no layer "nothing"');
});
