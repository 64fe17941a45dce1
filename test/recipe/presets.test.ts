import { expect, test } from "vitest";
import { needsTraining } from "../../src/recipe/needs.ts";
import { presetRecipe } from "../../src/recipe/presets.ts";
import { formatRecipe } from "../../src/recipe/steps.ts";
import { nets } from "../support/nets.ts";

const fast = (name: string, hasCalibration: boolean): string => {
  const net = nets.find((n) => n.name === name);
  if (!net) throw new Error(`no net ${name}`);
  return formatRecipe(presetRecipe("fast", net.model, hasCalibration));
};

test("fast calibrates networks of convolutions where it can", () => {
  expect(fast("conv", true)).toBe("quantize-int8:kernel=auto");
  expect(fast("lenet5", true)).toBe("quantize-int8:kernel=auto");
  expect(fast("lenet5", false)).toBe("quantize-dynamic > quantize-weights");
});

test("fast takes transformers' ranges at run time", () => {
  for (const hasCalibration of [true, false]) {
    expect(fast("transformer", hasCalibration)).toBe("quantize-dynamic > quantize-weights");
  }
});

test("presets that train end in a file of coded bytes, and parse", () => {
  const [net] = nets;
  for (const name of ["deep-compression", "smallest"]) {
    const steps = presetRecipe(name, net.model, true);
    expect(steps.at(-1)?.id).toBe("pack");
    expect(needsTraining(steps)).toBe(true);
  }
});
