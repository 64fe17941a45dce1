/** @file What must hold of any packed model. */
import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { expect } from "vitest";
import { packModel } from "../../src/onnx/pack.ts";
import { readModel } from "../../src/onnx/read.ts";
import { unpack } from "../../src/unpack.ts";
import { feedsOf, type RealModel } from "../support/real-models.ts";
import { sameOutputs } from "./conformance.ts";
import { runBytes } from "./support.ts";

/** Type, shape and bytes of every constant that something reads, sorted. */
function constantsOf(file: Uint8Array): string[] {
  const found: string[] = [];
  for (const graph of readModel(file).graph.walk()) {
    for (const { tensor, uses } of graph.constants) {
      if (!tensor || uses.size === 0) continue;
      const data = tensor.strings?.join() ?? Buffer.from(tensor.bytes()).toString("base64");
      found.push(`${tensor.dtype} [${tensor.shape}] ${data}`);
    }
  }
  return found.sort();
}

export const portsOf = (file: Uint8Array) => {
  const { graph } = fromBinary(ModelProtoSchema, file);
  return [graph?.input, graph?.output].map((ports) =>
    ports?.map(({ name, type }) => ({ name, type })),
  );
};

/** The same tensors, ports and outputs, from fewer bytes. */
export async function expectSamePacked({ path, shapes }: RealModel): Promise<void> {
  const bytes = new Uint8Array(readFileSync(path as string));
  const packed = packModel(bytes);
  expect(packed.bytes.length).toBeLessThan(bytes.length);
  const file = await unpack(packed.bytes);
  expect(portsOf(file)).toEqual(portsOf(bytes));
  expect(constantsOf(file)).toEqual(constantsOf(bytes));
  const feeds = feedsOf(shapes[0]);
  expect(sameOutputs(await runBytes(bytes, feeds), await runBytes(file, feeds))).toBe(true);
}
