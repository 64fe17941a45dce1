/** @file The smallest .tersor file of a model: stored forms as they are, or the weights they stand for. */
import type { Value } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { type Packed, packModel } from "../onnx/pack.ts";
import type { OpenExternal } from "../onnx/tensor-proto.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { constantExpressions, constantValue } from "../ops/constant.ts";
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

/** Nodes that the engine's integer kernels look for; they stay. */
const stored: ReadonlySet<string> = new Set(["QuantizeLinear", "DequantizeLinear"]);

/**
 * A codebook behind a Gather, packed bits and positions help a plain file; to a coder, the weights
 * themselves say more. Both are tried. Throws what `packModel` throws.
 */
export function packSmallest({ name, source, model, keepNames = false }: PackInput): Packed {
  const asStored = packModel(source.bytes, { name, external: externalOf(source), keepNames });
  const plain = model && withPlainWeights(model);
  if (!plain) return asStored;
  const asPlain = packModel(concat(writeModel(plain)), { name, keepNames });
  return asPlain.bytes.length < asStored.bytes.length ? asPlain : asStored;
}

/** Null where nothing is stored as an expression. The engine computes the same when it loads a model. */
function withPlainWeights(model: Model): Model | null {
  const clone = cloneModel(model);
  let isChanged = false;
  for (const graph of clone.graph.walk()) {
    const found = constantExpressions(graph);
    const isRead = (value: Value): boolean =>
      value.consumers.some(({ outputs }) => !outputs.some((output) => found.has(output)));
    for (const value of found) {
      if (!isRead(value) || value.isOutput || comesFrom(value, stored)) continue;
      const tensor = constantValue(value);
      if (!tensor) continue;
      graph.replace(value, graph.addConstant(value.name, tensor));
      isChanged = true;
    }
  }
  if (isChanged) rewrite(clone, { rules: ["drop-dead"] });
  return isChanged ? clone : null;
}

function comesFrom(value: Value, ops: ReadonlySet<string>): boolean {
  const seen = new Set([value]);
  for (const { producer } of seen) {
    if (!producer) continue;
    if (ops.has(producer.op)) return true;
    for (const input of producer.inputs) if (input) seen.add(input);
  }
  return false;
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
