import { describe, expect, test } from "vitest";
import { nodePlatform } from "../../src/node/platform.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { unfusedLayers, unfusedWarning } from "../../src/recipe/fusion.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";

/** The engine needs to be able to tell its own times: the runtime of the platform can. */
const { runtime } = await nodePlatform.runtime("node");

describe("layers meant for integer kernels", () => {
  const quantized = nets.filter(({ name }) => ["lenet5", "conv"].includes(name));

  test.each(quantized)("of $name all get one", async (net) => {
    const env = environmentOf(net, { runtime });
    const { model } = await apply(net.model, "quantize-int8", {}, env);
    expect(weightsOf(model).some(({ value }) => value.producer?.op === "DequantizeLinear")).toBe(
      true,
    );
    expect(await unfusedLayers(model, env)).toEqual([]);
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
    expect((await unfusedLayers(model, env)).toSorted()).toEqual(names.toSorted());
  });

  test("make a warning that names them", () => {
    expect(unfusedWarning([])).toBeNull();
    expect(unfusedWarning(["fc1"])).toContain("1 layer (fc1)");
    expect(unfusedWarning(["a", "b", "c", "d", "e", "f", "g"])).toContain(
      "a, b, c, d, e and 2 more",
    );
  });
});
