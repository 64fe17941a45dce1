/** @file pack and unpack: the same tensors, the same interface, the same outputs. */
import { readFileSync } from "node:fs";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type ModelProto, ModelProtoSchema } from "onnx-buf";
import { afterAll, describe, expect, test } from "vitest";
import { encodeTensor } from "../../src/codec/tensor.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { packModel } from "../../src/onnx/pack.ts";
import { unpack } from "../../src/unpack.ts";
import { realModels } from "../support/real-models.ts";
import { linear, tinyModel } from "../support/tiny.ts";
import { sameBytes, sameOutputs } from "./conformance.ts";
import { expectSamePacked, portsOf } from "./packed.ts";
import { runBytes } from "./support.ts";

/** The largest take seconds each: they are in test/long. */
const present = realModels.filter(
  ({ path }) => path !== null && readFileSync(path).length < 700_000,
);
afterAll(() => {
  const missing = realModels.filter(({ path }) => path === null).length;
  if (missing > 0) console.info(`skipped: ${missing} real models are missing`);
});

test.each(present)("$name", (model) => expectSamePacked(model));

const float = (...values: number[]) => new Float32Array(values);
const x = tensor("float32", [1, 2], [1, -2]);

/** Any model of x [1, 2] -> y: the same outputs before and after, whatever is kept. */
async function expectSame(bytes: Uint8Array): Promise<ModelProto> {
  const expected = await runBytes(bytes, { x });
  for (const keepNames of [true, false]) {
    const file = await unpack(packModel(bytes, { keepNames }).bytes);
    expect(portsOf(file)).toEqual(portsOf(bytes));
    expect(sameOutputs(expected, await runBytes(file, { x }))).toBe(true);
  }
  return fromBinary(ModelProtoSchema, await unpack(packModel(bytes).bytes));
}

function edited(bytes: Uint8Array, edit: (model: ModelProto) => void): Uint8Array {
  const model = fromBinary(ModelProtoSchema, bytes);
  edit(model);
  return toBinary(ModelProtoSchema, model);
}

const net = linear(float(1, 2, 3, 4, 5, 6), float(7, 8, 9));

describe("what stays and what goes", () => {
  test("words, annotations and unused parts go; metadata and sizes by name stay", async () => {
    const noisy = edited(net, (model) => {
      model.producerName = "somebody";
      model.docString = "a long story";
      model.opsetImport.push(
        ...create(ModelProtoSchema, { opsetImport: [{ domain: "unused.domain", version: 1n }] })
          .opsetImport,
      );
      const more: MessageInitShape<typeof ModelProtoSchema> = {
        metadataProps: [{ key: "classes", value: "cat,dog,cow" }],
        graph: {
          initializer: [{ name: "unused", dims: [1n], dataType: 1, rawData: new Uint8Array(4) }],
          valueInfo: [{ name: "y" }],
        },
      };
      const { metadataProps, graph } = create(ModelProtoSchema, more);
      model.metadataProps.push(...metadataProps);
      model.graph?.initializer.push(...(graph?.initializer ?? []));
      model.graph?.valueInfo.push(...(graph?.valueInfo ?? []));
    });
    const file = await expectSame(noisy);
    expect(file).toMatchObject({ producerName: "", docString: "" });
    expect(file.opsetImport.map(({ domain }) => domain)).toEqual([""]);
    expect(file.metadataProps).toMatchObject([{ key: "classes", value: "cat,dog,cow" }]);
    expect(file.graph?.initializer.length).toBe(2);
    expect(file.graph?.valueInfo).toEqual([]);
    expect(file.graph?.node.map(({ name }) => name)).toEqual([""]);
    expect(packModel(noisy).bytes.length).toBeLessThan(packModel(net).bytes.length + 40);
  });

  test("keepNames keeps the names of nodes and values", async () => {
    const { graph } = fromBinary(
      ModelProtoSchema,
      await unpack(packModel(net, { keepNames: true }).bytes),
    );
    expect(graph?.name).toBe("tiny");
    expect(graph?.node[0]).toMatchObject({ name: "Gemm_0", input: ["x", "W", "b"] });
  });

  test("generated names avoid those of the ports", async () => {
    const ports = { inputs: [{ name: "x", dims: [1, 2] }], outputs: [{ name: "1", dims: [1, 2] }] };
    const nodes = ["Relu", "Neg", "Abs"].map((op, i) => ({
      op,
      inputs: [["x", "a", "b"][i]],
      outputs: [["a", "b", "1"][i]],
    }));
    const { graph } = await expectSame(tinyModel({ ...ports, nodes }));
    const names = graph?.node.flatMap(({ output }) => output) ?? [];
    expect(new Set(names).size).toBe(3);
    expect(names.every((name) => name.length === 1)).toBe(true);
  });
});

describe("where tensors hide", () => {
  const more = (graph: NonNullable<MessageInitShape<typeof ModelProtoSchema>["graph"]>) =>
    edited(
      tinyModel({
        inputs: [{ name: "x", dims: [1, 2] }],
        outputs: [{ name: "y", dims: [1, 2] }],
        nodes: [],
      }),
      (model) => {
        const made = create(ModelProtoSchema, { graph }).graph;
        model.graph?.node.push(...(made?.node ?? []));
        model.graph?.initializer.push(...(made?.initializer ?? []));
        model.graph?.sparseInitializer.push(...(made?.sparseInitializer ?? []));
      },
    );
  const add = (value: string) => ({ opType: "Add", input: ["x", value], output: ["y"] });
  const values = float(...Array.from({ length: 2 }, (_, i) => i / 3));

  test("typed fields instead of raw bytes", async () => {
    const initializer = [{ name: "W", dims: [2n], dataType: 1, floatData: [...values] }];
    const { graph } = await expectSame(more({ node: [add("W")], initializer }));
    expect(graph?.initializer[0].rawData.length).toBe(8);
  });

  test("Constant nodes and sparse tensors", async () => {
    const t = { dims: [2n], dataType: 1, rawData: new Uint8Array(values.buffer) };
    const constant = {
      opType: "Constant",
      output: ["W"],
      attribute: [{ name: "value", type: 4, t }],
    };
    await expectSame(more({ node: [constant, add("W")] }));
    const sparse = {
      values: { name: "W", dims: [1n], dataType: 1, floatData: [5] },
      indices: { dims: [1n], dataType: 7, int64Data: [1n] },
      dims: [2n],
    };
    await expectSame(more({ node: [add("W")], sparseInitializer: [sparse] }));
  });

  test("bodies that read outer values and own constants, in any order of nodes", async () => {
    const body = (name: string, op: string) => ({
      name,
      initializer: [{ name: `${name}_c`, dims: [2n], dataType: 1, floatData: [...values] }],
      node: [{ opType: op, input: [`${name}_c`, "outer"], output: [`${name}_out`] }],
      output: [{ name: `${name}_out` }],
    });
    const branch = {
      opType: "If",
      input: ["condition"],
      output: ["y"],
      attribute: [
        { name: "then_branch", type: 5, g: body("then", "Add") },
        { name: "else_branch", type: 5, g: body("else", "Mul") },
      ],
    };
    const outer = { opType: "Neg", input: ["x"], output: ["outer"] };
    const initializer = [{ name: "condition", dims: [], dataType: 9, int32Data: [1] }];
    await expectSame(more({ node: [outer, branch], initializer }));
    await expectSame(more({ node: [branch, outer], initializer }));
  });

  test("external data end up in the one file", async () => {
    const data = float(1, 2, 3, 4);
    const external = tinyModel({
      inputs: [{ name: "x", dims: [1, 2] }],
      outputs: [{ name: "y", dims: [1, 2] }],
      nodes: [{ op: "MatMul", inputs: ["x", "W"], outputs: ["y"] }],
      weights: [{ name: "W", dims: [2, 2], data, external: "w.bin" }],
    });
    const source = new Uint8Array(data.buffer);
    const file = await unpack(
      packModel(external, {
        external: () => ({
          byteLength: 16,
          read: (at, length) => source.subarray(at, at + length),
        }),
      }).bytes,
    );
    const { y } = await runBytes(file, { x });
    expect([...y.numbers()]).toEqual([1 - 6, 2 - 8]);
    expect(() => packModel(external)).toThrow(/missing-external.*w\.bin/);
  });
});

test("a graph takes little beside its tensors", () => {
  // Gemm, Relu, Gemm of 40 x 40: 3.2 kB of random weights in two bodies.
  const W = Float32Array.from({ length: 1600 }, (_, i) => Math.fround(Math.sin(i * i)));
  const model = tinyModel({
    inputs: [{ name: "input", dims: ["batch", 40] }],
    outputs: [{ name: "output", dims: ["batch", 40] }],
    nodes: [
      { op: "Gemm", inputs: ["input", "W1"], outputs: ["hidden"] },
      { op: "Relu", inputs: ["hidden"], outputs: ["active"] },
      { op: "Gemm", inputs: ["active", "W2"], outputs: ["output"] },
    ],
    weights: ["W1", "W2"].map((name) => ({ name, dims: [40, 40], data: W })),
  });
  const body = encodeTensor({
    dtype: "float32",
    dims: [40, 40],
    bytes: new Uint8Array(W.buffer),
  });
  const { bytes, graph, tensors } = packModel(model);
  expect(tensors.map(({ body }) => sameBytes(body, tensors[0].body))).toEqual([true, true]);
  expect(bytes.length - 2 * body.length).toBeLessThan(120);
  expect(bytes.length - 2 * body.length - graph).toBeLessThan(13);
});

test("a block that repeats earlier ones costs a few bytes, whatever its names", () => {
  // x + Relu(x W1 + b1) W2, layer after layer. Equal weights have bodies of equal length.
  const W = Float32Array.from({ length: 400 }, (_, i) => Math.fround(Math.sin(i * i)));
  const graphOf = (layers: number): number => {
    const inside = (i: number, what: string) => `model.layers.${i}.${what}`;
    const after = (i: number) =>
      i === 0 ? "input" : i === layers ? "output" : inside(i - 1, "sum");
    const blocks = Array.from({ length: layers }, (_, i) => i);
    const bytes = tinyModel({
      inputs: [{ name: "input", dims: ["batch", 20] }],
      outputs: [{ name: "output", dims: ["batch", 20] }],
      nodes: blocks.flatMap((i) => [
        { op: "MatMul", inputs: [after(i), inside(i, "W1")], outputs: [inside(i, "p1")] },
        { op: "Add", inputs: [inside(i, "p1"), inside(i, "b1")], outputs: [inside(i, "s1")] },
        { op: "Relu", inputs: [inside(i, "s1")], outputs: [inside(i, "r1")] },
        { op: "MatMul", inputs: [inside(i, "r1"), inside(i, "W2")], outputs: [inside(i, "p2")] },
        { op: "Add", inputs: [after(i), inside(i, "p2")], outputs: [after(i + 1)] },
      ]),
      weights: blocks.flatMap((i) => [
        { name: inside(i, "W1"), dims: [20, 20], data: W },
        { name: inside(i, "b1"), dims: [20], data: W.subarray(0, 20) },
        { name: inside(i, "W2"), dims: [20, 20], data: W },
      ]),
    });
    return packModel(bytes).graph;
  };
  const [once, dozen, two] = [1, 12, 24].map(graphOf);
  console.info(`graphs of 1, 12 and 24 equal blocks: ${once}, ${dozen}, ${two} bytes`);
  // The first block takes more than all that repeat it.
  expect(dozen - once).toBeLessThan(once);
  expect(two - dozen).toBeLessThan(12 * 2);
});
