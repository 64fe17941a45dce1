/** @file An ONNX file -> a .tersor file: names shortened, the graph and each tensor coded. */
import { encodeContainer } from "../codec/container.ts";
import { encodeGraph } from "../codec/graph.ts";
import { errors, fail } from "../errors.ts";
import { modelTokens, type PackedTensor } from "./pack-tokens.ts";
import { one, readTree } from "./proto-tree.ts";
import type { OpenExternal } from "./tensor-proto.ts";

export interface PackOptions {
  /** What errors call the model; usually its path. */
  readonly name?: string;
  /** Opens external data; all of it goes into the one packed file. */
  readonly external?: OpenExternal;
  /** Keeps the names of nodes and inner values, for debugging (default false). */
  readonly keepNames?: boolean;
}

export interface Packed {
  /** The .tersor file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Coded bytes of the graph, small tensors included. */
  readonly graph: number;
  readonly tensors: readonly PackedTensor[];
}

/** Throws TersorError "not-a-model", "bad-tensor", "missing-external", "external-outside". */
export function packModel(model: Uint8Array, options: PackOptions = {}): Packed {
  const { name: where = "model", external = null, keepNames = false } = options;
  const tree = readTree(model, where);
  if (!one(tree, "graph")) throw fail(errors.notAModel(where, "it has no graph"));
  const { tokens, tensors } = modelTokens(tree, { where, external }, keepNames);
  const { bytes: graph, byteLength } = encodeGraph(tokens);
  const bodies = tensors.map(({ body }) => body);
  return { bytes: encodeContainer(byteLength, graph, bodies), graph: graph.length, tensors };
}
