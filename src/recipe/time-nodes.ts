/** @file The engine's time of each node, through the names that its fusions and layouts make up. */
import type { Node } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { weightsOf } from "../ops/weights.ts";
import type { NodeTime } from "../runtime/runtime.ts";
import type { Environment } from "./environment.ts";

export interface TimedNode {
  /** Null where the engine's own work (reordered layouts, casts) belongs to no node. */
  readonly node: Node | null;
  readonly op: string;
  readonly us: number;
}

const runs = 20;
/** How far above a fused node its weighted one may be: Conv, BatchNormalization, Add, Relu. */
const reach = 5;

/** Null where the engine tells no times. */
export async function timeNodes(model: Model, env: Environment): Promise<TimedNode[] | null> {
  const { copy, nodeOf, producerOf } = labelled(model);
  const source = { bytes: concat(writeModel(copy)) };
  const times = await env.runtime.profile(source, env.feeds, runs, { threads: env.threads });
  if (!times) return null;
  const weighted = new Set(weightsOf(model).map(({ node }) => node));
  const claimed = new Set<Node>();
  const owner = ({ node: name, op }: NodeTime): Node | null => {
    const node = nodeOf(name) ?? producerOf(name);
    if (!node || weighted.has(node) || node.op === op) return node;
    const layer = above(node, (at) => weighted.has(at) && !claimed.has(at) && op.includes(at.op));
    if (layer) claimed.add(layer);
    return layer ?? node;
  };
  // Nodes that kept their name first: what is left over then tells which one a fused node stands for.
  for (const time of times) {
    const node = nodeOf(time.node);
    if (node && weighted.has(node)) claimed.add(node);
  }
  return times.map((time) => ({ node: owner(time), op: time.op, us: time.us }));
}

/** A copy whose names give the originals back, whatever the engine writes around them. */
function labelled(model: Model) {
  const originals = [...model.graph.walk()].flatMap((graph) => [...graph.nodes]);
  const copy = cloneModel(model);
  const values = new Map<string, Node>();
  let index = 0;
  for (const graph of copy.graph.walk()) {
    for (const node of graph.nodes) {
      node.name = `tersor${index}_${node.op}`;
      for (const [i, output] of node.outputs.entries()) {
        if (output.name && !output.isOutput) output.name = `tersorvalue${index}_${i}`;
        values.set(output.name, originals[index]);
      }
      index++;
    }
  }
  return {
    copy,
    // Gemm and Relu become "fused tersor5_Gemm", MatMul and Add "tersor5_MatMul/MatMulAddFusion".
    nodeOf: (name: string): Node | null =>
      originals[Number(/tersor(\d+)_/.exec(name)?.[1])] ?? null,
    // Blocked convolutions are called after what they give: "tersorvalue5_0_nchwc".
    producerOf: (name: string): Node | null => values.get(name.replace(/_nchwc$/, "")) ?? null,
  };
}

/** The nearest node above that passes. */
function above(from: Node, passes: (node: Node) => boolean): Node | null {
  let level = new Set([from]);
  for (let distance = 0; distance < reach; distance++) {
    const next = new Set<Node>();
    for (const node of level) {
      for (const input of node.inputs) {
        if (!input?.producer) continue;
        if (passes(input.producer)) return input.producer;
        next.add(input.producer);
      }
    }
    level = next;
  }
  return null;
}
