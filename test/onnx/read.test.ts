import { create, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema, AttributeProto_AttributeType as Type } from "onnx-buf";
import { describe, expect, test } from "vitest";
import { fail } from "../../src/errors.ts";
import { Graph } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import type { ByteSource } from "../../src/ir/tensor.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { bytesOf, concat, writeModel } from "../../src/onnx/write.ts";
import { catchError, imports, noise, port, protoBytes, runBytes, textBytes } from "./support.ts";

const floats = (values: readonly number[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Float32Array.from(values).buffer);
const constants = (bytes: Uint8Array) => [...readModel(bytes).graph.constants];
const node = (opType: string, input: string[], output: string[], more = {}) => ({
  opType,
  input,
  output,
  ...more,
});

describe("functions", () => {
  /** Scale(a, by, up = 10) = by a + up, the sum in a body; Twice(a) = 2 softmax(a) + 10. */
  const bytes = protoBytes({
    irVersion: 8n,
    opsetImport: [imports(17), imports(1, "my")],
    functions: [
      {
        name: "Scale",
        domain: "my",
        input: ["a", "shift"],
        output: ["out"],
        attribute: ["by"],
        attributeProto: [{ name: "up", type: Type.FLOAT, f: 10 }],
        opsetImport: [imports(17)],
        node: [
          node("Constant", [], ["factor"], {
            attribute: [{ name: "value_float", type: Type.FLOAT, refAttrName: "by" }],
          }),
          node("Mul", ["a", "factor"], ["scaled"]),
          node("Clip", ["scaled", "shift"], ["t"]),
          node("Constant", [], ["yes"], {
            attribute: [
              {
                name: "value",
                type: Type.TENSOR,
                t: { dataType: 9, rawData: new Uint8Array([1]) },
              },
            ],
          }),
          node("If", ["yes"], ["out"], {
            attribute: ["then_branch", "else_branch"].map((name) => ({
              name,
              type: Type.GRAPH,
              g: {
                name,
                node: [
                  node("Constant", [], ["up"], {
                    attribute: [{ name: "value_float", type: Type.FLOAT, refAttrName: "up" }],
                  }),
                  node("Add", ["t", "up"], ["r"]),
                  node("Max", shiftedInput(name), ["u"]),
                ],
                output: [port("u", "float32", ["N"])],
              },
            })),
          }),
        ],
      },
      {
        name: "Twice",
        domain: "my",
        input: ["a"],
        output: ["b", "same"],
        opsetImport: [imports(12), imports(1, "my")],
        // Softmax 12 on two axes at once: the function's own operator set counts.
        node: [
          node("Softmax", ["a"], ["t"], { attribute: [{ name: "axis", type: Type.INT, i: 0n }] }),
          node("Scale", ["t", ""], ["b"], {
            domain: "my",
            attribute: [{ name: "by", type: Type.FLOAT, f: 2 }],
          }),
          node("Identity", ["a"], ["same"]),
        ],
      },
    ],
    graph: {
      name: "g",
      input: [port("x", "float32", [2, 2])],
      output: [port("y", "float32", [2, 2]), port("z", "float32", [2, 2])],
      node: [
        node("Twice", ["x"], ["h", "same"], { domain: "my", name: "call" }),
        node("Scale", ["h"], ["y"], {
          domain: "my",
          attribute: [
            { name: "by", type: Type.FLOAT, f: 3 },
            { name: "up", type: Type.FLOAT, f: 0.5 },
          ],
        }),
        node("Twice", ["same"], ["z"], { domain: "my" }),
      ],
    },
  });

  function shiftedInput(branch: string): string[] {
    return branch === "then_branch" ? ["r"] : ["r", "r"];
  }

  test("are inlined, nested, with their own operator sets, attributes and absent inputs", async () => {
    const model = readModel(bytes);
    expect([...model.domains.keys()]).toEqual([]);
    expect([...model.graph.nodes].every(({ domain }) => domain === "")).toBe(true);
    const x = noise([2, 2]);
    const { y, z } = await runBytes(concat(writeModel(model)), { x });
    // softmax over all four, times 2 plus 10; y: times 3, plus 0.5
    const e = Array.from(x.floats(), Math.exp);
    const sum = e.reduce((a, b) => a + b);
    for (let i = 0; i < 4; i++) {
      const h = (e[i] / sum) * 2 + 10;
      expect(z.floats()[i]).toBeCloseTo(h, 4);
      expect(y.floats()[i]).toBeCloseTo(h * 3 + 0.5, 4);
    }
  });

  const withFunctions = (functions: object[], nodes: object[]): Uint8Array =>
    protoBytes({
      irVersion: 8n,
      opsetImport: [imports(17), imports(1, "my")],
      functions: functions.map((f) => ({ domain: "my", opsetImport: [imports(17)], ...f })),
      graph: {
        name: "g",
        input: [port("x", "float32", [2])],
        output: [port("y", "float32", [2])],
        node: nodes,
      },
    });
  const call = (name: string, input: string[], output: string[]) =>
    node(name, input, output, { domain: "my" });

  test("a function may return its input, and one value twice", async () => {
    const same = withFunctions(
      [{ name: "F", input: ["a"], output: ["a", "b", "b"], node: [node("Neg", ["a"], ["b"])] }],
      [call("F", ["x"], ["p", "q", "r"]), node("Sum", ["p", "q", "r"], ["y"])],
    );
    const { y } = await runBytes(concat(writeModel(readModel(same))), {
      x: tensor("float32", [2], [1, 2]),
    });
    expect(Array.from(y.floats())).toEqual([-1, -2]);
  });

  test.each([
    [
      "calls itself",
      [
        {
          name: "F",
          input: ["a"],
          output: ["b"],
          opsetImport: [imports(1, "my")],
          node: [call("F", ["a"], ["b"])],
        },
      ],
    ],
    [
      '"a" is produced twice',
      [
        {
          name: "F",
          input: ["a"],
          output: ["b"],
          node: [node("Neg", ["a"], ["a"]), node("Neg", ["a"], ["b"])],
        },
      ],
    ],
    [
      "nothing produces",
      [{ name: "F", input: ["a"], output: ["b"], node: [node("Neg", ["a"], ["c"])] }],
    ],
  ])("a function that is wrong is refused: %s", (why, functions) => {
    const error = catchError(() => readModel(withFunctions(functions, [call("F", ["x"], ["y"])])));
    expect(error.code).toBe("not-a-model");
    expect(error.message).toContain(why);
  });

  test("functions that unfold without end are refused, soon", () => {
    // F0 calls F1 ten times, F1 calls F2 ten times ...: 10^12 nodes from 12 functions.
    const functions = Array.from({ length: 12 }, (_, i) => ({
      name: `F${i}`,
      input: ["a"],
      output: ["b9"],
      opsetImport: [imports(17), imports(1, "my")],
      node: Array.from({ length: 10 }, (_, k) =>
        i === 11 ? node("Neg", ["a"], [`b${k}`]) : call(`F${i + 1}`, ["a"], [`b${k}`]),
      ),
    }));
    const error = catchError(() => readModel(withFunctions(functions, [call("F0", ["x"], ["y"])])));
    expect(error.message).toContain("unfold");
  });
});

describe("tensors", () => {
  const model = (initializer: object[], more: object = {}): Uint8Array =>
    protoBytes({
      irVersion: 10n,
      opsetImport: [imports(21)],
      graph: {
        name: "g",
        input: [port("x", "float32", [3])],
        output: [port("y", "float32", [3])],
        node: [node("Add", ["x", "w"], ["y"])],
        initializer,
        ...more,
      },
    });
  const w = { name: "w", dataType: 1, dims: [3n] };

  test("a weight that two nodes share stays one", () => {
    const bytes = textBytes(
      `<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) <float[2] w = {1,2}> { h = Mul (x, w) y = Add (h, w) }`,
    );
    const [value, ...others] = constants(bytes);
    expect(others).toEqual([]);
    expect(value.consumers.map(({ op }) => op)).toEqual(["Mul", "Add"]);
    expect(constants(concat(writeModel(readModel(bytes))))).toHaveLength(1);
  });

  test.each([
    ["linear indices", [2n], [0n, 2n]],
    ["coordinates", [2n, 1n], [0n, 2n]],
  ])("sparse initializers become dense: %s", async (_, dims, indices) => {
    const bytes = model([], {
      sparseInitializer: [
        {
          dims: [3n],
          values: { name: "w", dataType: 1, dims: [2n], rawData: floats([5, 7]) },
          indices: {
            dataType: 7,
            dims,
            rawData: new Uint8Array(BigInt64Array.from(indices).buffer),
          },
        },
      ],
    });
    expect(Array.from(constants(bytes)[0].tensor?.floats() ?? [])).toEqual([5, 0, 7]);
    const x = tensor("float32", [3], [1, 1, 1]);
    const expected = Array.from((await runBytes(bytes, { x })).y.floats());
    expect(expected).toEqual([6, 1, 8]);
    const { y } = await runBytes(concat(writeModel(readModel(bytes))), { x });
    expect(Array.from(y.floats())).toEqual(expected);
  });

  test("a sparse tensor may not stand for far more than it holds", () => {
    const sparse = (dims: bigint[]) =>
      model([], {
        sparseInitializer: [
          {
            dims,
            values: { name: "w", dataType: 1, dims: [1n], floatData: [1] },
            indices: { dataType: 7, dims: [1n], int64Data: [5n] },
          },
        ],
      });
    const before = process.memoryUsage().arrayBuffers;
    expect(constants(sparse([1n << 20n]))[0].tensor?.byteLength).toBe(2 ** 22);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 22); // not dense yet
    expect(() => constants(sparse([1n << 29n]))).toThrow("bad-tensor");
  });

  test("raw data may start anywhere in the file", () => {
    const offsets = new Set<number>();
    for (const name of ["a", "aa", "aaa", "aaaa"]) {
      const bytes = model([
        { ...w, name, rawData: floats([1, 2, 3]) },
        { ...w, rawData: floats([4, 5, 6]) },
      ]);
      // An odd start in memory as well.
      const odd = new Uint8Array(bytes.length + 1).subarray(1);
      odd.set(bytes);
      const { tensor } = constants(odd).find((value) => value.name === "w")!;
      offsets.add((tensor?.bytes().byteOffset ?? 0) % 4);
      expect(Array.from(tensor!.data() as Float32Array)).toEqual([4, 5, 6]);
    }
    expect(offsets.size).toBeGreaterThan(1);
  });

  test("every element type comes back bit for bit, from raw data and from typed fields", () => {
    const cases: [string, object, number[] | string[] | bigint[]][] = [
      ["float32", { dataType: 1, dims: [2n], floatData: [1.5, -0] }, [1.5, -0]],
      ["uint8", { dataType: 2, dims: [2n], int32Data: [0, 255] }, [0, 255]],
      ["int8", { dataType: 3, dims: [2n], int32Data: [-128, 127] }, [-128, 127]],
      ["uint16", { dataType: 4, dims: [1n], int32Data: [65535] }, [65535]],
      ["int16", { dataType: 5, dims: [1n], int32Data: [-32768] }, [-32768]],
      ["int32", { dataType: 6, dims: [1n], int32Data: [-(2 ** 31)] }, [-(2 ** 31)]],
      ["int64", { dataType: 7, dims: [2n], int64Data: [-5n, 2n ** 40n] }, [-5, 2 ** 40]],
      ["bool", { dataType: 9, dims: [2n], int32Data: [1, 0] }, [1, 0]],
      ["float16", { dataType: 10, dims: [2n], int32Data: [0x3e00, 0xc000] }, [1.5, -2]],
      ["float64", { dataType: 11, dims: [1n], doubleData: [Math.PI] }, [Math.PI]],
      ["uint32", { dataType: 12, dims: [1n], uint64Data: [2n ** 32n - 1n] }, [2 ** 32 - 1]],
      ["uint64", { dataType: 13, dims: [1n], uint64Data: [2n ** 50n] }, [2 ** 50]],
      ["bfloat16", { dataType: 16, dims: [2n], int32Data: [0x3fc0, 0xbf80] }, [1.5, -1]],
      ["uint4", { dataType: 21, dims: [3n], int32Data: [0xf1, 0x07] }, [1, 15, 7]],
      ["int4", { dataType: 22, dims: [3n], rawData: new Uint8Array([0xf1, 0x08]) }, [1, -1, -8]],
      [
        "uint2",
        { dataType: 25, dims: [5n], rawData: new Uint8Array([0b11100100, 2]) },
        [0, 1, 2, 3, 2],
      ],
      ["int2", { dataType: 26, dims: [4n], rawData: new Uint8Array([0b11100100]) }, [0, 1, -2, -1]],
    ];
    for (const [dtype, proto, values] of cases) {
      const bytes = model([{ name: "w", ...proto }]);
      for (const round of [bytes, concat(writeModel(readModel(bytes)))]) {
        const { tensor } = constants(round)[0];
        expect(tensor?.dtype).toBe(dtype);
        expect(Array.from(tensor!.numbers())).toEqual(values);
      }
    }
    for (const dataType of [14, 15, 17, 18, 19, 20, 23, 24]) {
      const length = { 14: 16, 15: 32, 23: 1 }[dataType] ?? 2;
      const raw = Uint8Array.from({ length }, (_, i) => i + 1);
      const bytes = model([{ name: "w", dataType, dims: [2n], rawData: raw }]);
      const { tensor } = constants(concat(writeModel(readModel(bytes))))[0];
      expect(Array.from(tensor!.bytes())).toEqual(Array.from(raw));
    }
  });

  test("strings keep their characters; text that is no UTF-8 is refused in tensors, kept in attributes", () => {
    const encode = (s: string) => new TextEncoder().encode(s);
    const strings = ["a", "", '\ufeffé\n"x"', "日本"];
    const of = (stringData: Uint8Array<ArrayBuffer>[]) =>
      model([{ name: "w", dataType: 8, dims: [BigInt(stringData.length)], stringData }]);
    const [value] = constants(concat(writeModel(readModel(of(strings.map(encode))))));
    expect(value.tensor?.strings).toEqual(strings);
    const broken = new Uint8Array([0x61, 0xff]);
    expect(catchError(() => readModel(of([broken]))).message).toContain("not UTF-8");

    const bytes = model([{ ...w, rawData: floats([1, 2, 3]) }], {
      node: [
        node("Add", ["x", "w"], ["h"]),
        node("Blob", ["h"], ["y"], {
          attribute: [{ name: "blob", type: Type.STRING, s: broken }],
        }),
      ],
    });
    const written = concat(writeModel(readModel(bytes)));
    expect(Buffer.from(written).includes(Buffer.from([0x02, 0x61, 0xff]))).toBe(true);
  });

  test("tensors of no elements", async () => {
    const bytes = textBytes(
      `<ir_version: 10, opset_import: ["" : 21]> g (float[2,0] x) => (float[] y) <float[3,0] w = {}, int64[0] s = {}> { y = Concat<axis = 0> (x, w) e = Expand (x, s) }`,
    );
    const written = concat(writeModel(readModel(bytes)));
    const { y } = await runBytes(written, { x: tensor("float32", [2, 0], []) });
    expect(y.shape).toEqual([5, 0]);
  });

  test.each([
    ["holds 8 bytes where its shape needs 12", { ...w, rawData: floats([1, 2]) }],
    ["holds 2 values where its shape needs 3", { ...w, floatData: [1, 2] }],
    // int64_data does not fill a float tensor.
    ["holds 0 values where its shape needs 3", { ...w, int64Data: [1n, 2n, 3n] }],
    ["has the impossible shape [-3]", { ...w, dims: [-3n] }],
    ["has the impossible shape", { ...w, dims: [1n << 40n, 1n << 40n] }],
    ["has the unknown element type 99", { ...w, dataType: 99 }],
    [
      "holds 1 strings where its shape needs 3",
      { ...w, dataType: 8, stringData: [new Uint8Array()] },
    ],
  ])("refused: %s", (why, proto) => {
    const error = catchError(() => readModel(model([proto])));
    expect(error.code).toBe("bad-tensor");
    expect(error.message).toContain(`model: tensor "w": ${why}`);
  });
});

describe("external data", () => {
  const model = (entries: Record<string, string>): Uint8Array =>
    protoBytes({
      irVersion: 10n,
      opsetImport: [imports(21)],
      graph: {
        name: "g",
        input: [port("x", "float32", [2])],
        output: [port("y", "float32", [2])],
        node: [node("Add", ["x", "w"], ["y"])],
        initializer: [
          {
            name: "w",
            dataType: 1,
            dims: [2n],
            dataLocation: 1,
            externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
          },
        ],
      },
    });
  const file = floats([1, 2, 3, 4]);

  function open(bytes: Uint8Array): { model: ReturnType<typeof readModel>; reads: number[][] } {
    const reads: number[][] = [];
    const external = (path: string): ByteSource => {
      if (path !== "sub/w.bin") {
        throw fail({ code: "no-such-file", what: "is missing", where: path, remedy: "Give it" });
      }
      return {
        byteLength: file.byteLength,
        read: (offset, length) => {
          reads.push([offset, length]);
          return file.subarray(offset, offset + length);
        },
      };
    };
    return { model: readModel(bytes, { external }), reads };
  }

  test("is read where it lies, when it is asked for", () => {
    const { model: read, reads } = open(model({ location: "sub/w.bin", offset: "4", length: "8" }));
    expect(reads).toEqual([]);
    const [value] = read.graph.constants;
    expect(Array.from(value.tensor!.floats())).toEqual([2, 3]);
    expect(reads).toEqual([[4, 8]]);
    // Without offset and length: from the start, as much as the shape says.
    const [whole] = open(model({ location: "sub/w.bin" })).model.graph.constants;
    expect(Array.from(whole.tensor!.floats())).toEqual([1, 2]);
  });

  test("is written beside the model, aligned, and the engine finds it", async () => {
    const { model: read } = open(model({ location: "sub/w.bin", offset: "8" }));
    const written = writeModel(read, { external: { path: "new.bin", threshold: 1 } });
    const data = concat(written.external!);
    expect(written.external?.path).toBe("new.bin");
    const { runtime } = await import("./support.ts");
    const session = await runtime.open({
      bytes: concat(written),
      external: [{ path: "new.bin", data }],
    });
    const { y } = await session.run({ x: tensor("float32", [2], [10, 20]) });
    await session.close();
    expect(Array.from(y.floats())).toEqual([13, 24]);
    expect(writeModel(read).external).toBeNull();
  });

  test("is divided into files of a most size, and a weight never is", async () => {
    const graph = new Graph("g");
    const x = graph.addInput("x", "float32", [4]);
    let y = x;
    for (let i = 0; i < 4; i++) {
      const w = graph.addConstant(`w${i}`, tensor("float32", [4], [i, i, i, 10 ** i]));
      y = graph.add("Add", [y, w], { name: `y${i}` }).output;
    }
    y.dtype = "float32";
    y.shape = [4];
    graph.setOutputs([y]);
    const model = createModel(graph, 21);
    const written = writeModel(model, { external: { path: "d", threshold: 1, most: 80 } });
    // 16 bytes each, at multiples of 64: two in a file.
    const files = [written.external!, ...(written.shards ?? [])];
    expect(files.map(({ path, byteLength }) => [path, byteLength])).toEqual([
      ["d", 80],
      ["d_1", 80],
    ]);
    expect(bytesOf(written)).toBe(written.byteLength + 160);
    const { runtime } = await import("./support.ts");
    const session = await runtime.open({
      bytes: concat(written),
      external: files.map((file) => ({ path: file.path, data: concat(file) })),
    });
    const { y3 } = await session.run({ x: tensor("float32", [4], [0, 0, 0, 0]) });
    await session.close();
    expect(Array.from(y3.floats())).toEqual([6, 6, 6, 1111]);
    const tight = writeModel(model, { external: { path: "d", threshold: 1, most: 8 } });
    expect(tight.shards?.map(({ path }) => path)).toEqual(["d_1", "d_2", "d_3"]);
  });

  test.each([
    ["external-outside", { location: "../w.bin" }],
    ["external-outside", { location: "sub/../../w.bin" }],
    ["external-outside", { location: "/etc/passwd" }],
    ["external-outside", { location: "C:\\w.bin" }],
    ["external-outside", { location: "..\\w.bin" }],
    ["external-outside", { location: "" }],
    ["missing-external", { location: "other.bin" }],
    ["bad-tensor", { location: "sub/w.bin", offset: "12" }],
    ["bad-tensor", { location: "sub/w.bin", offset: "-4" }],
    ["bad-tensor", { location: "sub/w.bin", offset: "x" }],
    ["bad-tensor", { location: "sub/w.bin", offset: "1.5" }],
    ["bad-tensor", { location: "sub/w.bin", offset: "1e300" }],
    ["bad-tensor", { location: "sub/w.bin", length: "4" }],
  ])("refused as %s: %o", (code, entries) => {
    expect(catchError(() => open(model(entries))).code).toBe(code);
  });

  test("is refused where nothing can open it", () => {
    const error = catchError(() => readModel(model({ location: "sub/w.bin" })));
    expect(error.code).toBe("missing-external");
  });
});

describe("graphs", () => {
  const graph = (nodes: object[], more: object = {}) =>
    protoBytes({
      irVersion: 8n,
      opsetImport: [imports(21), imports(3, "com.acme")],
      graph: {
        name: "g",
        input: [port("x", "float32", [2])],
        output: [port("y", "float32", [2])],
        node: nodes,
        ...more,
      },
    });

  test("nodes may come in any order, and are written producers first", async () => {
    const bytes = graph([
      node("Neg", ["b"], ["y"]),
      node("Abs", ["a"], ["b"]),
      node("Sin", ["x"], ["a"]),
    ]);
    const written = concat(writeModel(readModel(bytes)));
    const x = noise([2]);
    const { y } = await runBytes(written, { x });
    for (let i = 0; i < 2; i++) {
      expect(y.floats()[i]).toBeCloseTo(-Math.abs(Math.sin(x.floats()[i])), 6);
    }
  });

  test("nodes without names, or with the same one, get names of their own", () => {
    const bytes = graph([
      node("Neg", ["x"], ["a"], { name: "n" }),
      node("Neg", ["a"], ["b"], { name: "n" }),
      node("Abs", ["b"], ["c"]),
      node("Neg", ["c"], ["d"]),
      node("Abs", ["d"], ["y"]),
    ]);
    // Without a name: the operator, and how many of it stand before.
    expect([...readModel(bytes).graph.nodes].map(({ name }) => name)).toEqual([
      "n",
      "n_1",
      "Abs_0",
      "Neg_2",
      "Abs_1",
    ]);
  });

  test("thousands of equal names take no time to tell apart", () => {
    const count = 50_000;
    const nodes = Array.from({ length: count }, (_, i) =>
      node("Neg", [i === 0 ? "x" : `v${i - 1}`], [i === count - 1 ? "y" : `v${i}`], { name: "n" }),
    );
    const names = new Set([...readModel(graph(nodes)).graph.nodes].map(({ name }) => name));
    expect(names.size).toBe(count);
  }, 5_000);

  test("operators of other domains are kept, with everything they carry", () => {
    const bytes = graph([
      node("Mystery", ["x", "", "x"], ["y", "", "z"], {
        domain: "com.acme",
        name: "m",
        attribute: [
          { name: "i", type: Type.INT, i: -3n },
          { name: "f", type: Type.FLOAT, f: 0.1 },
          { name: "fs", type: Type.FLOATS, floats: [1, 2] },
          { name: "s", type: Type.STRING, s: new TextEncoder().encode("é") },
          { name: "ss", type: Type.STRINGS, strings: [new TextEncoder().encode("a")] },
          { name: "none", type: Type.INTS, ints: [] },
          { name: "end", type: Type.INT, i: 2n ** 63n - 1n },
          { name: "t", type: Type.TENSOR, t: { dataType: 1, dims: [1n], floatData: [4] } },
          {
            name: "tp",
            type: Type.TYPE_PROTO,
            tp: { value: { case: "tensorType", value: { elemType: 7 } } },
          },
        ],
      }),
    ]);
    const once = concat(writeModel(readModel(bytes)));
    const model = readModel(once);
    expect(concat(writeModel(model))).toEqual(once);
    const [mystery] = model.graph.nodes;
    expect(mystery.inputs.map((input) => input?.name ?? null)).toEqual(["x", null, "x"]);
    expect(mystery.outputs.map(({ name }) => name)).toEqual(["y", "", "z"]);
    expect(mystery.attributes).toMatchObject({
      i: { type: "int", value: -3 },
      f: { type: "float", value: Math.fround(0.1) },
      fs: { type: "floats", value: [1, 2] },
      s: { type: "string", value: "é" },
      ss: { type: "strings", value: ["a"] },
      none: { type: "ints", value: [] },
      tp: { type: "opaque" },
    });
    expect(Buffer.from(once).includes(Buffer.from([0x18, ...Array(8).fill(0xff), 0x7f]))).toBe(
      true,
    );
    expect(model.domains.get("com.acme")).toBe(3);
  });

  test("bodies of If and Loop read what lies around them, also two levels up and later in the file", async () => {
    const bytes = textBytes(`<ir_version: 8, opset_import: ["" : 21]>
      g (bool c, float[2] x, int64 n) => (float[2] y) <float[2] w = {1,2}, bool on = {1}>
      {
        scaled = Mul (x, w)
        y = Loop<body = step (int64 i, bool keep, float[2] sum) => (bool go, float[2] next)
          {
            go = Identity (keep)
            part = If (c) <then_branch = yes () => (float[2] a) { a = Add (sum, scaled) },
                           else_branch = no () => (float[2] b) <float[2] k = {5,5}> { b = Add (sum, k) }>
            next = Mul (part, w)
          }> (n, on, x)
      }`);
    const model = readModel(bytes);
    const written = concat(writeModel(model));
    for (const c of [0, 1]) {
      const feeds = {
        c: tensor("bool", [], [c]),
        x: tensor("float32", [2], [1, 1]),
        n: tensor("int64", [], [2]),
      };
      const { y } = await runBytes(written, feeds);
      // sum = ((x + s) w + s) w, s = x w or 5
      const of = (w: number) => ((1 + (c ? w : 5)) * w + (c ? w : 5)) * w;
      expect(Array.from(y.floats())).toEqual([of(1), of(2)]);
    }
    const scaled = [...model.graph.nodes].find(({ op }) => op === "Mul")?.output;
    const inside = scaled?.consumers.map(({ graph }) => graph.owner?.op);
    expect(inside).toEqual(["If"]);
  });

  test("equal names in sibling and nested bodies do not meet in the file", async () => {
    const branch = (name: string, op: string) => ({
      name,
      type: Type.GRAPH,
      g: {
        name,
        node: [node(op, ["x"], ["t"]), node("Neg", ["t"], ["r"])],
        output: [port("r", "float32", [2])],
      },
    });
    const bytes = graph(
      [
        node("If", ["c"], ["y"], {
          attribute: [branch("then_branch", "Abs"), branch("else_branch", "Sin")],
        }),
      ],
      { input: [port("x", "float32", [2]), port("c", "bool", [])] },
    );
    const written = concat(writeModel(readModel(bytes)));
    const { y } = await runBytes(written, {
      x: tensor("float32", [2], [-3, 2]),
      c: tensor("bool", [], [1]),
    });
    expect(Array.from(y.floats())).toEqual([-3, -2]);
    const texts = [...readModel(written).graph.walk()].flatMap((g) =>
      [...g.nodes].flatMap((n) => n.outputs.map(({ name }) => name)),
    );
    expect(new Set(texts).size).toBe(texts.length);
  });

  test.each([
    [
      '"a" is produced twice',
      [node("Neg", ["x"], ["a"]), node("Neg", ["x"], ["a"]), node("Neg", ["a"], ["y"])],
    ],
    ['"x" is produced twice', [node("Neg", ["x"], ["x"]), node("Neg", ["x"], ["y"])]],
    ['reads "q", which nothing produces', [node("Neg", ["q"], ["y"])]],
    ['returns "y", which nothing produces', [node("Neg", ["x"], ["q"])]],
    ["depend on each other", [node("Add", ["x", "y"], ["a"]), node("Neg", ["a"], ["y"])]],
    [
      'of domain "com.other", which is not imported',
      [node("Neg", ["x"], ["y"], { domain: "com.other" })],
    ],
  ])("refused: %s", (why, nodes) => {
    const error = catchError(() => readModel(graph(nodes), { name: "m.onnx" }));
    expect(error.code).toBe("not-a-model");
    expect(error.where).toBe("m.onnx");
    expect(error.message).toContain(why);
  });

  test.each([
    ["it has no graph", { irVersion: 8n, opsetImport: [imports(21)] }],
    ["its graph returns nothing", { irVersion: 8n, opsetImport: [imports(21)], graph: {} }],
    ["it names no operator set", { irVersion: 8n, graph: { output: [port("y", "float32", [])] } }],
  ])("refused: %s", (why, model) => {
    const bytes = toBinary(ModelProtoSchema, create(ModelProtoSchema, model));
    expect(catchError(() => readModel(bytes)).message).toContain(why);
  });

  test("what is no protobuf at all is refused", () => {
    for (const bytes of [new Uint8Array(0), new TextEncoder().encode("version https://git-lfs")]) {
      expect(catchError(() => readModel(bytes, { name: "m.onnx" })).code).toBe("not-a-model");
    }
  });

  test("metadata and the producer are kept", () => {
    const model = readModel(
      protoBytes({
        irVersion: 8n,
        producerName: "pytorch",
        producerVersion: "2.4",
        opsetImport: [imports(21)],
        metadataProps: [{ key: "mean", value: "0.5" }],
        graph: { output: [port("x", "float32", [1])], input: [port("x", "float32", [1])] },
      }),
    );
    const back = readModel(concat(writeModel(model)));
    expect(back.producer).toBe("pytorch 2.4");
    expect([...back.metadata]).toEqual([["mean", "0.5"]]);
  });
});
