/** @file What the tests of src/onnx share: models from text, protobuf pieces, one engine, seeded inputs. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { TersorError } from "../../src/errors.ts";
import { type DType, dtypes } from "../../src/ir/dtype.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { printModel } from "../../src/ir/print.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";

export const runtime = await openNodeRuntime();

/** The bytes of a model given in ONNX's text form, at the operator set the text names. */
export function textBytes(text: string): Uint8Array {
  return concat(writeModel(parseModel(text)));
}

/** The bytes of a model given as protobuf fields. */
export function protoBytes(model: MessageInitShape<typeof ModelProtoSchema>): Uint8Array {
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, model));
}

/** All of a model as text: equal texts, equal models. */
export function fullText(bytes: Uint8Array, name = "model"): string {
  return printModel(readModel(bytes, { name }), { elements: Number.POSITIVE_INFINITY });
}

export async function runBytes(bytes: Uint8Array, feeds: Feeds): Promise<Record<string, Tensor>> {
  const session = await runtime.open({ bytes });
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

/** Uniform in [-1, 1), the same for the same seed. */
export function noise(shape: readonly number[], seed = 1): Tensor {
  const random = createRandom(seed);
  const size = shape.reduce((product, dim) => product * dim, 1);
  return tensor(
    "float32",
    shape,
    Float32Array.from({ length: size }, () => random.float() * 2 - 1),
  );
}

/** ValueInfoProto of a tensor. */
export function port(name: string, dtype: DType, dims: readonly (number | string)[]) {
  return {
    name,
    type: {
      value: {
        case: "tensorType" as const,
        value: {
          elemType: dtypes[dtype].code,
          shape: {
            dim: dims.map((d) => ({
              value:
                typeof d === "number"
                  ? { case: "dimValue" as const, value: BigInt(d) }
                  : { case: "dimParam" as const, value: d },
            })),
          },
        },
      },
    },
  };
}

export const imports = (version: number, domain = "") => ({ domain, version: BigInt(version) });

/** The TersorError that it throws; any other outcome fails the test. */
export function catchError(action: () => unknown): TersorError {
  try {
    action();
  } catch (error) {
    if (error instanceof TersorError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
