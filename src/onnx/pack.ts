/**
 * @file Packs an ONNX file into a .tersor file: names are shortened, and the graph and
 * each tensor are coded.
 */
import { encodeContainer } from "../codec/container.ts";
import { encodeGraph } from "../codec/graph.ts";
import { bytesOf } from "../codec/load/tensor.ts";
import { encodeTensor } from "../codec/tensor.ts";
import { errors, fail } from "../errors.ts";
import { encodeOn, type PackBase } from "./pack-base.ts";
import { modelTokens, type PackedTensor } from "./pack-tokens.ts";
import { one, readTree } from "./proto-tree.ts";
import type { OpenExternal } from "./tensor-proto.ts";

export interface PackOptions {
  /** The name of the model in errors; usually its path. */
  readonly name?: string;
  /** Opens external data. All of it becomes part of the packed file. */
  readonly external?: OpenExternal;
  /** Whether to keep the names of nodes and inner values, for debugging (default false). */
  readonly keepNames?: boolean;
  /** A base to pack a delta against, which is then needed to unpack it. */
  readonly base?: PackBase | null;
  /** Whether a delta keeps every bit (default false; without `base` every bit is kept anyway). */
  readonly exact?: boolean;
}

/** A packed model, with the sizes of its parts. */
export interface Packed {
  /** The .tersor file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of the coded graph, small tensors included. */
  readonly graph: number;
  readonly tensors: readonly PackedTensor[];
}

/**
 * Packs the bytes of an ONNX file. Throws TersorError "not-a-model", "bad-tensor",
 * "missing-external" or "external-outside".
 */
export function packModel(model: Uint8Array, options: PackOptions = {}): Packed {
  const { name: where = "model", external = null, keepNames = false } = options;
  const { base = null, exact = false } = options;
  const tree = readTree(model, where);
  if (!one(tree, "graph")) throw fail(errors.notAModel(where, "it has no graph"));
  const { tokens, tensors } = modelTokens(tree, {
    where,
    external,
    keepNames,
    encode: base ? encodeOn(base, exact) : encodeTensor,
    spare: bytesOf(base?.base ?? null),
  });
  const { bytes: graph, byteLength } = encodeGraph(tokens);
  const bodies = tensors.map(({ body }) => body);
  return { bytes: encodeContainer(byteLength, graph, bodies), graph: graph.length, tensors };
}
