/** @file The time the engine spends on each node of a model, mapped back from its fused nodes. */
import type { Node } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { weightsOf } from "../ops/weights.ts";
import type { NodeTime } from "../runtime/runtime.ts";
import type { Environment } from "./environment.ts";

/** A node of the engine's optimized graph with its time, mapped to the node of the model. */
export interface TimedNode {
  /** The model's node; null for the engine's own work (layout changes, casts) that has none. */
  readonly node: Node | null;
  /** Operator of the engine's optimized graph, for example "FusedConv". */
  readonly op: string;
  /** Median over the runs, in microseconds. */
  readonly us: number;
}

/** The number of traced runs. */
const runs = 20;
/**
 * A fused node carries the name of its last part. The layer with weights is searched for up to this
 * many nodes above that: Conv, BatchNormalization, Add, Relu are three.
 */
const reach = 5;

/**
 * Runs the model with the engine's trace on `env.feeds`. One entry per node of the engine's
 * optimized graph, in order of execution; null where the engine writes no trace.
 */
export async function timeNodes(model: Model, env: Environment): Promise<TimedNode[] | null> {
  const { copy, nodeOf, producerOf } = labelled(model);
  // Written only where the engine reads it: the web engine has no trace.
  const source = {
    get bytes() {
      return concat(writeModel(copy));
    },
  };
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
  // Layers whose own name is in the trace are marked first. A fused node then stands for one of the
  // layers that are left.
  for (const time of times) {
    const node = nodeOf(time.node);
    if (node && weighted.has(node)) claimed.add(node);
  }
  return times.map((time) => ({ node: owner(time), op: time.op, us: time.us }));
}

/**
 * A copy of the model in which each node and each inner value is named by the number of its
 * original node, so that the original can be found from any name that the engine derives from
 * these.
 */
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
    // The engine names Gemm with Relu "fused tersor5_Gemm", MatMul with Add
    // "tersor5_MatMul/MatMulAddFusion".
    nodeOf: (name: string): Node | null =>
      originals[Number(/tersor(\d+)_/.exec(name)?.[1])] ?? null,
    // A convolution in the channel-blocked layout is named by its output: "tersorvalue5_0_nchwc".
    producerOf: (name: string): Node | null => values.get(name.replace(/_nchwc$/, "")) ?? null,
  };
}

/** The nearest node above `from` (through inputs, at most `reach` steps) that passes; else null. */
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
