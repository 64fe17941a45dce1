import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ModelProtoSchema } from "onnx-buf";
import { describe, expect, test } from "vitest";
import { TersorError } from "../../src/errors.ts";
import type { Model } from "../../src/ir/model.ts";
import { printModel } from "../../src/ir/print.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { catchError, imports, textBytes } from "./support.ts";

/** Bodies, several types and forms of tensors, old operators, other domains: every reader is reached. */
const victim =
  textBytes(`<ir_version: 8, opset_import: ["" : 9, "com.acme" : 1], metadata_props: ["k": "v"]>
  net (float[N,4] x, bool c) => (float[N,2] y, float[] u)
  <float[4,2] w = random(1), int64[1] axes = {1}, string[1] s = {"s"}, float16[2] h = {1.0,2.0}, int4[3] q = {1,2,3}>
  {
    [a] p = MatMul (x, w)
    [b] r = Clip<min = 0.0, max = 6.0> (p)
    t = Slice<starts = [0], ends = [2], axes = [1]> (r)
    y = If (c) <then_branch = yes () => (float[N,2] i) { i = Softmax<axis = 1> (t) },
                else_branch = no () => (float[N,2] j) <float[2] k = {1,2}> { j = Add (t, k) }>
    u = com.acme.Op<t = float[2] {1,2}, names = ["a","b"], f = 0.5> (y, s, h, q, axes)
    v = Upsample<mode = "nearest", scales = [1.0,2.0]> (r)
  }`);

/** A model, or the TersorError that refuses the bytes; anything else fails the test. */
function attempt(bytes: Uint8Array): Model | null {
  try {
    return readModel(bytes, {
      external: () => ({ byteLength: 8, read: (_, length) => new Uint8Array(length) }),
    });
  } catch (error) {
    if (!(error instanceof TersorError)) throw error;
    expect(error.message).not.toContain("\n");
    return null;
  }
}

/** What was read can be used: written, read again, and printed the same. */
function survives(model: Model): void {
  const again = attempt(concat(writeModel(model)));
  expect(again && printModel(again)).toBe(printModel(model));
}

test("a file cut short anywhere is refused, or is a whole model", () => {
  let whole = 0;
  for (let length = 0; length < victim.length; length++) {
    const model = attempt(victim.slice(0, length));
    if (!model) continue;
    whole++;
    survives(model);
  }
  // Only cuts between the last top-level fields leave a model.
  expect(whole).toBeLessThan(4);
});

describe("a damaged byte gives an error of the catalogue, or a model", () => {
  test.each([1, 2, 3, 4])("seed %i", (seed) => {
    const random = createRandom(seed);
    let read = 0;
    for (let i = 0; i < 1500; i++) {
      const bytes = victim.slice();
      for (let flips = 1 + random.int(3); flips > 0; flips--) {
        bytes[random.int(bytes.length)] = random.int(2) === 0 ? random.int(256) : 255;
      }
      const model = attempt(bytes);
      if (!model) continue;
      read++;
      concat(writeModel(model));
      printModel(model);
    }
    expect(read).toBeGreaterThan(0);
  });

  test("inserted and removed spans", () => {
    const random = createRandom(9);
    for (let i = 0; i < 1500; i++) {
      const at = random.int(victim.length);
      const span = random.int(12);
      const kept = random.int(2) === 0 ? span : -span;
      const model = attempt(
        Uint8Array.from([...victim.slice(0, at), ...victim.slice(Math.max(0, at + kept))]),
      );
      if (model) concat(writeModel(model));
    }
  });
});

test("random bytes", () => {
  const random = createRandom(5);
  for (let i = 0; i < 3000; i++) {
    attempt(Uint8Array.from({ length: random.int(200) }, () => random.int(256)));
  }
});

test("sizes that the file does not hold are not allocated", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (const dims of [[1n << 31n], [1n << 52n], [1n << 20n, 1n << 20n], [0n, 1n << 62n]]) {
    for (const dataType of [1, 6, 7, 8, 11, 22]) {
      attempt(model({ initializer: [{ name: "w", dataType, dims }] }));
    }
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
});

test("bodies nested without end are refused", () => {
  let body = toBinaryGraph(new Uint8Array(0));
  for (let depth = 0; depth < 3000; depth++) body = toBinaryGraph(body);
  const bytes = new BinaryWriter().raw(
    toBinary(ModelProtoSchema, create(ModelProtoSchema, { opsetImport: [imports(21)] })),
  );
  bytes.tag(7, WireType.LengthDelimited).bytes(body);
  expect(catchError(() => readModel(bytes.finish())).code).toBe("not-a-model");
});

test("functions that call one another without end are refused", () => {
  const count = 20_000;
  const functions = Array.from({ length: count }, (_, i) => ({
    name: `F${i}`,
    domain: "my",
    input: ["a"],
    output: ["b"],
    opsetImport: [imports(21), imports(1, "my")],
    node: [
      {
        opType: i === count - 1 ? "Neg" : `F${i + 1}`,
        domain: i === count - 1 ? "" : "my",
        input: ["a"],
        output: ["b"],
      },
    ],
  }));
  const bytes = toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      opsetImport: [imports(21), imports(1, "my")],
      functions,
      graph: {
        input: [{ name: "x" }],
        output: [{ name: "y" }],
        node: [{ opType: "F0", domain: "my", input: ["x"], output: ["y"] }],
      },
    }),
  );
  expect(catchError(() => readModel(bytes)).message).toContain("nest over 200 deep");
});

/** A graph of one If whose branch is `body`, as protobuf bytes. */
function toBinaryGraph(body: Uint8Array): Uint8Array {
  const attribute = new BinaryWriter();
  attribute.tag(1, WireType.LengthDelimited).string("then_branch");
  attribute.tag(6, WireType.LengthDelimited).bytes(body);
  attribute.tag(20, WireType.Varint).int32(5);
  const node = new BinaryWriter();
  node.tag(2, WireType.LengthDelimited).string("y");
  node.tag(4, WireType.LengthDelimited).string("If");
  node.tag(5, WireType.LengthDelimited).bytes(attribute.finish());
  const output = new BinaryWriter().tag(1, WireType.LengthDelimited).string("y").finish();
  const graph = new BinaryWriter();
  graph.tag(1, WireType.LengthDelimited).bytes(node.finish());
  graph.tag(12, WireType.LengthDelimited).bytes(output);
  return graph.finish();
}

test("names of object properties are plain names", () => {
  const bytes = textBytes(`<ir_version: 8, opset_import: ["" : 21, "constructor" : 1]>
    toString (float[2] constructor) => (float[2] __proto__) {
      hasOwnProperty = Relu (constructor)
      __proto__ = constructor.valueOf<toString = 1> (hasOwnProperty) }`);
  const model = readModel(bytes);
  survives(model);
  expect([...model.graph.nodes].map(({ op }) => op)).toEqual(["Relu", "valueOf"]);
});

function model(graph: object): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [imports(21)],
      graph: { name: "g", output: [{ name: "w" }], ...graph },
    }),
  );
}
