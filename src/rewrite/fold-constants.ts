/** @file Replaces nodes that read only constants by their results, unless the file would grow. */
import { TersorError } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { stepsFor, within } from "../ops/evaluate/work.ts";
import { evaluateNode } from "../ops/evaluate.ts";
import { product } from "../util/product.ts";
import { otherReaders } from "./constants.ts";
import { defineRule } from "./rule.ts";

/** The bytes that a node and its names take in the file, about. */
const nodeBytes = 512;

/** Stored forms of weights for which the engine has integer kernels. */
const kept: ReadonlySet<string> = new Set(["QuantizeLinear", "DequantizeLinear"]);

export const foldConstants = defineRule({
  id: "fold-constants",
  doc: "a node of constants -> its value (decoders of compressed weights stay: they would grow)",
  roots: "any",
  apply(node, g) {
    const { inputs } = node;
    if (inputs.length === 0 || node.subgraphs.length > 0 || kept.has(node.op)) return null;
    if (!inputs.every((input) => !input || input.tensor)) return null;
    // This test needs no computation: shapes are known where inference has been.
    if (boundBytes(node) > freedBytes(node) + nodeBytes) return null;
    const results = compute(node);
    if (typeof results === "string") return results;
    if (!results) return null;
    // Else the node would stay, and be folded again and again.
    if (node.outputs.some((output, i) => output.uses.size > 0 && !results[i])) return null;
    const bytes = results.reduce((sum, result) => sum + result.byteLength, 0);
    if (bytes > freedBytes(node) + nodeBytes) return null;
    return node.outputs.map((output, i) => {
      const result: Tensor | undefined = results[i];
      return result ? g.graph.addConstant(output.name, result) : output;
    });
  },
});

/**
 * The results of a node. Operands that do not fit are a reason to leave the node: it may be in a
 * branch that is never taken.
 */
function compute(node: Node): Tensor[] | string | null {
  const inputs = node.inputs.map((input) => input?.tensor ?? null);
  const bytes = inputs.reduce((sum, input) => sum + (input?.byteLength ?? 0), 0);
  try {
    return within(stepsFor(bytes), () => evaluateNode(node, inputs));
  } catch (cause) {
    if (cause instanceof TersorError) return cause.what;
    throw cause;
  }
}

/** A lower bound of the result's bytes: one for each element, as far as the shape is known. */
function boundBytes(node: Node): number {
  const { shape } = node.output;
  if (!shape?.every((dim) => typeof dim === "number")) return 0;
  return product(shape as readonly number[]);
}

/** The bytes of constants that only this node reads. */
function freedBytes(node: Node): number {
  const own = new Set(node.inputs.filter((input) => input && !otherReaders(input, node)));
  let bytes = 0;
  for (const input of own) bytes += input?.tensor?.byteLength ?? 0;
  return bytes;
}
