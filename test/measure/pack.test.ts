/** @file The smallest .tersor file of stored forms: the engine gives the same bits from it. */
import { expect, test } from "vitest";
import { packSmallest } from "../../src/measure/pack.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { packModel } from "../../src/onnx/pack.ts";
import { readModel } from "../../src/onnx/read.ts";
import { unpack } from "../../src/unpack.ts";
import { sameOutputs } from "../onnx/conformance.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";

const [net] = nets;

test.each<[MethodId, Record<string, unknown>, isPlain: boolean]>([
  ["share-weights", { bits: 4 }, true],
  ["prune-magnitude", { sparsity: 0.9 }, true],
  ["quantize-weights", { bits: 4 }, false],
  ["quantize-dynamic", {}, false],
  ["store-float16", {}, false],
  ["factor-svd", {}, false],
])("%s %j", async (id, options, isPlain) => {
  const { model, bytes } = await apply(net.model, id, options, environmentOf(net));
  const packed = packSmallest({ name: id, source: { bytes }, model });
  const file = await unpack(packed.bytes);
  const feeds = net.feeds(5, 3);
  expect(sameOutputs(await outputsOf(bytes, feeds), await outputsOf(file, feeds))).toBe(true);
  expect(packed.bytes.length).toBeLessThanOrEqual(packModel(bytes).bytes.length);
  // Weights themselves are easier to code than their stored form: fewer nodes, more context.
  const nodes = readModel(file).graph.nodes.size;
  if (isPlain) expect(nodes).toBeLessThan(model.graph.nodes.size);
  expect(packed.bytes.length).toBeLessThan(bytes.length);
});
