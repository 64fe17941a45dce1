/** @file Operators named like what every object has: they are unknown, and no error of the reader. */
import { expect, test } from "vitest";
import { readModel } from "../../src/onnx/read.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import { tinyModel } from "../support/tiny.ts";

test.each(["__proto__", "constructor", "toString"])("%s", (op) => {
  const ports = (name: string) => [{ name, dims: [1, 2] }];
  const nodes = [{ op, inputs: ["x"], outputs: ["y"] }];
  // Version 9 is brought to a newer one, for which ranks are asked for.
  const bytes = tinyModel({ inputs: ports("x"), outputs: ports("y"), nodes, opset: 9 });
  const model = readModel(bytes, { name: "test" });
  inferModel(model);
  rewrite(model);
  expect([...model.graph.nodes].map((node) => node.op)).toEqual([op]);
});
