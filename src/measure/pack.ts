/** @file The smallest .tersor file of a model: stored forms as they are, or the weights they stand for. */
import { encodeTensor } from "../codec/tensor.ts";
import type { Node, Value } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { type Packed, packModel } from "../onnx/pack.ts";
import type { OpenExternal } from "../onnx/tensor-proto.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { constantExpressions, constantValue } from "../ops/constant.ts";
import { hasTrait } from "../ops/traits.ts";
import { rewrite } from "../rewrite/index.ts";
import type { Source } from "../runtime/runtime.ts";

export interface PackInput {
  /** What errors call the model. */
  readonly name: string;
  readonly source: Source;
  /** The same model as a graph; null where that is not at the file's own operator set. */
  readonly model: Model | null;
  readonly keepNames?: boolean;
}

/** About what a node takes in a coded graph. */
const nodeBytes = 5;

/**
 * A codebook behind a Gather, packed bits and positions help a plain file; to a coder, the weights
 * themselves often say more. Weight by weight the smaller one is taken; the engine computes the same
 * from both when it loads the model. Throws what `packModel` throws.
 */
export function packSmallest({ name, source, model, keepNames = false }: PackInput): Packed {
  const plain = model && withPlainWeights(model);
  if (plain) return packModel(concat(writeModel(plain)), { name, keepNames });
  return packModel(source.bytes, { name, external: externalOf(source), keepNames });
}

/** Null where nothing is stored as an expression, or all that is had better stay. */
function withPlainWeights(model: Model): Model | null {
  const clone = cloneModel(model);
  let isChanged = false;
  for (const graph of clone.graph.walk()) {
    const found = constantExpressions(graph);
    const isRead = (value: Value): boolean =>
      value.consumers.some(({ outputs }) => !outputs.some((output) => found.has(output)));
    for (const value of found) {
      if (!isRead(value) || value.isOutput) continue;
      const { nodes, constants } = expressionOf(value);
      // The engine's integer kernels look for these.
      if (nodes.some((node) => hasTrait(node, "converts"))) continue;
      const tensor = constantValue(value);
      if (!tensor || tensor.strings) continue;
      const own = constants.filter(({ consumers }) => consumers.every((n) => nodes.includes(n)));
      const before = own.reduce((sum, { tensor }) => sum + codedBytes(tensor), 0);
      if (codedBytes(tensor) > before + nodeBytes * nodes.length) continue;
      graph.replace(value, graph.addConstant(value.name, tensor));
      isChanged = true;
    }
  }
  if (isChanged) rewrite(clone, { rules: ["drop-dead"] });
  return isChanged ? clone : null;
}

/** The nodes and constants that a value is computed from. */
function expressionOf(value: Value): { nodes: Node[]; constants: Value[] } {
  const seen = new Set([value]);
  // Grows while it is walked.
  for (const { producer } of seen) {
    for (const input of producer?.inputs ?? []) if (input) seen.add(input);
  }
  const nodes = new Set([...seen].flatMap(({ producer }) => producer ?? []));
  return { nodes: [...nodes], constants: [...seen].filter(({ tensor }) => tensor) };
}

function codedBytes(tensor: Tensor | null): number {
  if (!tensor || tensor.strings) return 0;
  const { dtype, shape: dims } = tensor;
  return encodeTensor({ dtype, dims, bytes: tensor.bytes() }).length;
}

function externalOf({ external = [] }: Source): OpenExternal {
  const files = new Map(external.map(({ path, data }) => [path, data]));
  return (path) => {
    const data = files.get(path) as Uint8Array;
    return { byteLength: data.byteLength, read: (at, length) => data.subarray(at, at + length) };
  };
}

/** Beyond this many bytes the size is not worth the seconds that coding takes. */
const limit = 24e6;

/** Bytes of the .tersor file; null for models that take too long to code. */
export function packedSize(input: PackInput): number | null {
  const { bytes, external = [] } = input.source;
  const size = external.reduce((sum, { data }) => sum + data.byteLength, bytes.byteLength);
  return size > limit ? null : packSmallest(input).bytes.byteLength;
}
