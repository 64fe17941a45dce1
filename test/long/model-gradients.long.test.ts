import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readModel } from "../../src/onnx/read.ts";
import { build } from "../../src/ops/builder.ts";
import { bindDims, inferNode } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { hoistConstants } from "../../src/train/branch.ts";
import { feedsOf, realModels } from "../support/real-models.ts";
import { runOrt } from "../train/gradients.ts";

/** Half the file is the network for 8 kHz, which an If leaves out at 16 kHz. */
const idle: Readonly<Record<string, RegExp>> = { silero_vad_op18_ifless: /^model_8k\./ };

describe.each(realModels)("$name", ({ name, path, shapes }) => {
  test.skipIf(!path)("every weight has a gradient in the engine", async () => {
    const sizes = shapes[shapes.length - 1];
    const model = bindDims(readModel(readFileSync(path as string)), sizes);
    hoistConstants(model);
    const { graph } = model;
    const weights = [...graph.constants].filter(
      ({ dtype, tensor: x, uses }) => dtype === "float32" && (x?.size ?? 0) > 8 && uses.size > 0,
    );
    const g = build(graph, "loss", inferNode);
    const squares = graph.outputs
      .filter(({ dtype }) => dtype === "float32")
      .map((output) => g.ReduceSumSquare(output, { keepdims: 0 }));
    const loss = squares.length > 1 ? g.Sum(...squares) : squares[0];
    const gradients = [...backward(model, loss, weights).values()];
    graph.setOutputs(gradients.map((gradient) => g.Identity(gradient)));
    for (const [i, output] of graph.outputs.entries()) output.name = `d${i}`;
    const results = await runOrt(model, feedsOf(sizes));
    for (const [i, weight] of weights.entries()) {
      const gradient = results[`d${i}`];
      expect(gradient.length, weight.name).toBe(weight.tensor?.size);
      const length = Math.hypot(...gradient.slice(0, 50_000));
      if (idle[name]?.test(weight.name)) expect(length, weight.name).toBe(0);
      else expect(Number.isFinite(length) && length > 0, `${weight.name}: ${length}`).toBe(true);
    }
  });
});
