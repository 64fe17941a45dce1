/** @file Packs a model into the smaller .tersor file: weights in their stored forms, or decoded. */
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
import { type ExternalFile, type Source, sourceBytes } from "../runtime/runtime.ts";
import { product } from "../util/product.ts";

/** The model to pack, as a file and as a graph. */
export interface PackInput {
  /** The model's name in errors. */
  readonly name: string;
  readonly source: Source;
  /** The same model as a graph; null if its operator set is not that of the file. */
  readonly model: Model | null;
  /** Whether to keep the names of nodes and inner values (default false). */
  readonly keepNames?: boolean;
}

/** Roughly the bytes of one node in the coded graph. */
const nodeBytes = 5;

/** Elements from which on a weight is not decoded if its stored form has a level for each element. */
const LARGE = 2 ** 25;
/** Bytes per element that tell such a form from a sparse one or one of shared rows. */
const LEVELS = 0.2;

/**
 * Packs a model. A compressed weight is stored as an expression (indices with a codebook, packed
 * bits, values with positions), which makes a plain ONNX file small. The entropy coder often does
 * better on the decoded weights themselves. So for each weight the smaller of the two is packed;
 * the engine computes the same weights from both when it loads the model. Where `model` is null the
 * file is packed as it is. Throws what `packModel` throws.
 */
export function packSmallest({ name, source, model, keepNames = false }: PackInput): Packed {
  const plain = model && withPlainWeights(model);
  if (plain) return packModel(concat(writeModel(plain)), { name, keepNames });
  return packModel(source.bytes, { name, external: externalOf(source), keepNames });
}

/**
 * A copy of the model in which each expression that takes at least as many coded bytes as its
 * value is replaced by that value. Null if there is no such expression.
 */
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
      // QuantizeLinear and DequantizeLinear stay: the engine's integer kernels need them.
      if (nodes.some((node) => hasTrait(node, "converts"))) continue;
      const own = constants.filter(({ consumers }) => consumers.every((n) => nodes.includes(n)));
      if (isLargeLevels(value, own)) continue;
      const tensor = constantValue(value);
      if (!tensor || tensor.strings) continue;
      const before = own.reduce((sum, { tensor }) => sum + codedBytes(tensor), 0);
      if (codedBytes(tensor) > before + nodeBytes * nodes.length) continue;
      graph.replace(value, graph.addConstant(value.name, tensor));
      isChanged = true;
    }
  }
  if (isChanged) rewrite(clone, { rules: ["drop-dead"] });
  return isChanged ? clone : null;
}

/**
 * Whether the value has many elements and is stored as a level for each: its levels take about as many
 * coded bytes as its numbers, which would take gigabytes of memory.
 */
function isLargeLevels({ shape }: Value, stored: readonly Value[]): boolean {
  const size = product((shape ?? [0]).map(Number));
  const bytes = stored.reduce((sum, { tensor }) => sum + (tensor?.byteLength ?? 0), 0);
  return size >= LARGE && bytes >= LEVELS * size;
}

/** The nodes and constants that a constant expression computes `value` from. */
function expressionOf(value: Value): { nodes: Node[]; constants: Value[] } {
  const seen = new Set([value]);
  // The set grows while the loop walks it.
  for (const { producer } of seen) {
    for (const input of producer?.inputs ?? []) if (input) seen.add(input);
  }
  const nodes = new Set([...seen].flatMap(({ producer }) => producer ?? []));
  return { nodes: [...nodes], constants: [...seen].filter(({ tensor }) => tensor) };
}

/** Bytes of the tensor after entropy coding; 0 for strings and null. */
function codedBytes(tensor: Tensor | null): number {
  if (!tensor || tensor.strings) return 0;
  const { dtype, shape: dims } = tensor;
  return encodeTensor({ dtype, dims, bytes: tensor.bytes() }).length;
}

/** Access to the source's external data by path, as `packModel` asks for it. */
export function externalOf({ external = [] }: Source): OpenExternal {
  const files = new Map(external.map((one) => [one.path, one]));
  return (path) => {
    const { file, data } = files.get(path) as ExternalFile;
    if (file) return file;
    return { byteLength: data.byteLength, read: (at, length) => data.subarray(at, at + length) };
  };
}

/** Models of more bytes are not packed just to report a size, because coding takes too long. */
const limit = 24e6;

/** Bytes of the model's .tersor file; null for models above `limit`. */
export function packedSize(input: PackInput): number | null {
  return sourceBytes(input.source) > limit ? null : packSmallest(input).bytes.byteLength;
}
