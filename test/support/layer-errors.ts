/** @file The error that a method causes in each layer by itself, on the original's activations. */
import type { Node, Value } from "../../src/ir/graph.ts";
import { cloneGraph, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";
import { readWeight } from "../../src/weights/read.ts";
import { outputsOf } from "./apply.ts";

/**
 * |y' - y|^2 / |y|^2 of every Conv, Gemm and MatMul, by the node's name. y is the layer's output in
 * `start`; y' is computed from the same inputs with the weight that the layer has in `changed`. The
 * engine computes both in one graph.
 */
export async function layerErrors(
  start: Model,
  changed: Model,
  feeds: Feeds,
): Promise<Map<string, number>> {
  inferModel(changed);
  const others = weightsOf(changed);
  const weights = weightsOf(start);
  const copies = new Map<Value, Value>();
  const graph = cloneGraph(start.graph, copies);
  const g = build(graph);
  const outputs: Value[] = [];
  const names: string[] = [];
  for (const [i, { node, index, value }] of weights.entries()) {
    if (!/^(Conv|Gemm|MatMul)$/.test(node.op) || others[i].node.name !== node.name) continue;
    const weight = readWeight(others[i].value);
    if (!weight || !copies.has(value)) continue;
    const twin = twinOf(node, copies);
    const inputs = [...twin.inputs];
    inputs[index] = g.constant(tensor("float32", weight.shape, weight.values));
    const y = graph.add(node.op, inputs, { attributes: node.attributes }).output;
    outputs.push(
      g.ReduceSumSquare(g.Sub(y, twin.output), null, { keepdims: 0 }),
      g.ReduceSumSquare(twin.output, null, { keepdims: 0 }),
    );
    names.push(node.name);
  }
  for (const [i, output] of outputs.entries()) output.name = `sum${i}`;
  graph.setOutputs(outputs);
  const sums = await outputsOf(concat(writeModel({ ...start, graph })), feeds);
  const sum = (i: number): number => sums[`sum${i}`].floats()[0];
  return new Map(names.map((name, i) => [name, sum(2 * i) / sum(2 * i + 1)]));
}

const twinOf = (node: Node, copies: ReadonlyMap<Value, Value>): Node =>
  copies.get(node.output)?.producer as Node;
