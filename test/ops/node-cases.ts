/** @file ONNX's own operator tests, as Debian's libonnx-testdata installs them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { TensorProtoSchema } from "onnx-buf";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { rawTensor, type Tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { readTensor } from "../../src/onnx/tensor-proto.ts";

const root =
  process.env.ONNX_NODE_TESTS ?? "/usr/lib/python3/dist-packages/onnx/backend/test/data/node";

export interface NodeCase {
  readonly name: string;
  readonly model: Model;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/** Names of the cases, or none where the package is not installed. */
export function nodeCases(): string[] {
  if (existsSync(root)) return readdirSync(root).sort();
  console.info("skipped: libonnx-testdata is not installed (apt install libonnx-testdata)");
  return [];
}

/** A string says why the case is not for us. */
export function readCase(name: string): NodeCase | string {
  const folder = `${root}/${name}`;
  let model: Model;
  try {
    model = readModel(readFileSync(`${folder}/model.onnx`), { name });
  } catch (error) {
    return `refused: ${(error as { code?: string }).code ?? error}`;
  }
  for (const value of [...model.graph.inputs, ...model.graph.outputs]) {
    if (value.opaqueType) return "sequence or optional types";
  }
  const read = (kind: string, values: readonly Value[]): Tensor[] =>
    values.map(({ dtype }, i) => {
      const bytes = readFileSync(`${folder}/test_data_set_0/${kind}_${i}.pb`);
      const proto = fromBinary(TensorProtoSchema, bytes);
      const tensor = readTensor(proto, { where: name, external: null });
      // NumPy has no bfloat16: those files hold its words as uint16.
      const isWords = dtype === "bfloat16" && tensor.dtype === "uint16";
      return isWords ? rawTensor(dtype, tensor.shape, tensor.bytes()) : tensor;
    });
  return {
    name,
    model,
    inputs: read("input", model.graph.inputs),
    outputs: read("output", model.graph.outputs),
  };
}
