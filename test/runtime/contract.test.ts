/** @file What every Runtime promises, asked of each: the native build and the WebAssembly build. */
import { describe, expect, test } from "vitest";
import type { DType, TypedArray } from "../../src/ir/dtype.ts";
import { rawTensor, Tensor, tensor } from "../../src/ir/tensor.ts";
import { profileFiles } from "../../src/node/profile.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { openWebRuntime } from "../../src/runtime/ort-web.ts";
import type { Session } from "../../src/runtime/runtime.ts";
import { identity, linear, tinyModel } from "../support/tiny.ts";

const runtimes = { node: () => openNodeRuntime(profileFiles), web: openWebRuntime };

const floats = (shape: number[], ...values: number[]) => tensor("float32", shape, values);

/** y = x * w by the row, z = -y; w from outside when `external`. */
function scaled(w: Float32Array, external?: string) {
  return tinyModel({
    inputs: [{ name: "x", dims: ["N", w.length] }],
    outputs: [
      { name: "y", dims: ["N", w.length] },
      { name: "z", dims: ["N", w.length] },
    ],
    nodes: [
      { op: "Mul", inputs: ["x", "w"], outputs: ["y"] },
      { op: "Neg", inputs: ["y"], outputs: ["z"] },
    ],
    weights: [{ name: "w", dims: [w.length], data: w, ...(external && { external }) }],
  });
}

const bytesOf = (array: TypedArray) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe.each(Object.entries(runtimes))("%s", (name, openRuntime) => {
  const runtime = openRuntime();
  const open = async (bytes: Uint8Array, options = {}) => (await runtime).open({ bytes }, options);

  async function closing<T>(session: Promise<Session>, use: (session: Session) => Promise<T>) {
    const opened = await session;
    try {
      return await use(opened);
    } finally {
      await opened.close();
    }
  }

  test("names itself and its version", async () => {
    expect((await runtime).name).toBe(name);
    expect((await runtime).version).toMatch(/^\d+\.\d+\.\d+/);
  });

  test("ports carry names, element types, sizes and symbols", () =>
    closing(open(linear(new Float32Array(6), new Float32Array(2))), async (session) => {
      expect(session.inputs).toEqual([{ name: "x", dtype: "float32", dims: ["N", 3] }]);
      expect(session.outputs).toEqual([{ name: "y", dtype: "float32", dims: ["N", 2] }]);
    }));

  test("runs, for any size of a symbolic dim", () =>
    closing(
      open(linear(Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(0.5, -1))),
      async (session) => {
        const one = await session.run({ x: floats([1, 3], 1, 10, 100) });
        expect(one.y.shape).toEqual([1, 2]);
        expect([...one.y.numbers()]).toEqual([531.5, 641]);
        const two = await session.run({ x: floats([2, 3], 1, 0, 0, 0, 1, 0) });
        expect([...two.y.numbers()]).toEqual([1.5, 1, 3.5, 3]);
        const none = await session.run({ x: floats([0, 3]) });
        expect(none.y.shape).toEqual([0, 2]);
      },
    ));

  test("fetch limits the outputs", () =>
    closing(open(scaled(Float32Array.of(2, 3))), async (session) => {
      const feeds = { x: floats([1, 2], 1, 1) };
      expect(Object.keys(await session.run(feeds))).toEqual(["y", "z"]);
      const some = await session.run(feeds, ["z"]);
      expect(Object.keys(some)).toEqual(["z"]);
      expect([...some.z.numbers()]).toEqual([-2, -3]);
      await expect(session.run(feeds, ["nope"])).rejects.toMatchObject({
        code: "run-failed",
        what: expect.stringContaining("nope"),
      });
    }));

  const samples: Partial<Record<DType, TypedArray>> = {
    float32: Float32Array.of(-0, Number.NaN, Infinity, 1e-45),
    float64: Float64Array.of(-0, Number.NaN, 1e308, 5e-324),
    float16: Uint16Array.of(0x0001, 0x7c00, 0xfbff, 0x7e01),
    int8: Int8Array.of(-128, 127, -1, 0),
    uint8: Uint8Array.of(0, 255, 1, 128),
    int16: Int16Array.of(-32768, 32767, -1, 0),
    uint16: Uint16Array.of(0, 65535, 1, 2),
    int32: Int32Array.of(-(2 ** 31), 2 ** 31 - 1, -1, 0),
    uint32: Uint32Array.of(0, 2 ** 32 - 1, 1, 2),
    int64: BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, -1n, 0n),
    uint64: BigUint64Array.of(0n, 2n ** 64n - 1n, 1n, 2n),
    bool: Uint8Array.of(0, 1, 1, 0),
  };
  test.each(Object.entries(samples))("%s passes through unchanged", async (type, values) => {
    const dtype = type as DType;
    // From an odd offset, as raw_data sits in a file: the engine needs it aligned.
    const raw = new Uint8Array(values.byteLength + 1);
    raw.set(bytesOf(values), 1);
    await closing(open(identity(dtype, [2, "M"])), async (session) => {
      expect(session.inputs[0].dtype).toBe(dtype);
      const { y } = await session.run({ x: rawTensor(dtype, [2, 2], raw.subarray(1)) });
      expect(y.dtype).toBe(dtype);
      expect(y.shape).toEqual([2, 2]);
      expect(y.bytes()).toEqual(bytesOf(values));
    });
  });

  test("strings pass through", () =>
    closing(open(identity("string", [3])), async (session) => {
      const words = ["", "naïve", "日本"];
      const { y } = await session.run({
        x: new Tensor("string", [3], () => new Uint8Array(), words),
      });
      expect(y.dtype).toBe("string");
      expect(y.strings).toEqual(words);
    }));

  test("scalars keep their empty shape", () =>
    closing(open(identity("float32", [])), async (session) => {
      const { y } = await session.run({ x: tensor("float32", [], 7) });
      expect(y.shape).toEqual([]);
      expect([...y.numbers()]).toEqual([7]);
    }));

  test("takes tensors and models in shared memory, which workers hand around", async () => {
    const shared = (bytes: Uint8Array) => {
      const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
      copy.set(bytes);
      return copy;
    };
    await closing(open(shared(identity("float32", [2]))), async (session) => {
      const x = rawTensor("float32", [2], shared(bytesOf(Float32Array.of(1, 2))));
      expect([...(await session.run({ x })).y.numbers()]).toEqual([1, 2]);
    });
  });

  test.each([
    ["nothing", new Uint8Array()],
    ["text", new TextEncoder().encode("hello world")],
    ["half a model", identity("float32").subarray(0, 20)],
    ["an unknown operator", tinyModel({ inputs: [], outputs: [], nodes: [unknownOp()] })],
    ["a 4-bit output, which crashes the native binding", cast("int4")],
    ["a type without an array", cast("bfloat16")],
  ])("refuses %s", async (_, bytes) => {
    const error = await open(bytes).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: "cannot-open", where: expect.stringContaining(name) });
    const { message } = error as Error;
    expect(message).not.toMatch(/\n|ERROR_CODE|undefined|\/_work\/|\/onnxruntime_src/);
  });

  test("carries the engine's own words", async () => {
    const bytes = tinyModel({ inputs: [], outputs: [], nodes: [unknownOp()] });
    await expect(open(bytes)).rejects.toThrow(/NoSuchOp/);
  });

  test.each([
    [
      "an unknown name",
      { x: floats([1, 3], 1, 2, 3), q: floats([1], 1) },
      /input "q": is not an input/,
    ],
    ["nothing", {}, /input "x": is not fed/],
    ["another type", { x: tensor("int32", [1, 3], [1, 2, 3]) }, /is float32, the tensor is int32/],
    [
      "another size",
      { x: floats([1, 4], 1, 2, 3, 4) },
      /takes shape \[N,3\], the tensor has \[1,4\]/,
    ],
    ["another rank", { x: floats([3], 1, 2, 3) }, /takes shape \[N,3\], the tensor has \[3\]/],
  ])("a run fed %s fails in words, and the session lives on", (_, feeds, words) =>
    closing(open(linear(new Float32Array(6), new Float32Array(2))), async (session) => {
      const error = await session.run(feeds as never).catch((error: unknown) => error);
      expect(error).toMatchObject({ code: "run-failed" });
      expect((error as Error).message).toMatch(words);
      await session.run({ x: floats([1, 3], 1, 2, 3) });
    }),
  );

  test("a failure inside the graph names the operator and no build path", () =>
    closing(open(reshape()), async (session) => {
      const feeds = { x: floats([4], 1, 2, 3, 4), shape: tensor("int64", [1], [5]) };
      const error = await session.run(feeds).catch((error: unknown) => error);
      expect(error).toMatchObject({ code: "run-failed" });
      expect((error as Error).message).toMatch(/cannot be reshaped.*requested shape:\{5\}/);
      expect((error as Error).message).not.toMatch(/\n|ERROR_CODE|\/_work\/|\/onnxruntime_src/);
    }));

  test("a closed session says so; closing twice is fine", async () => {
    const session = await open(identity("float32", [1]));
    await session.close();
    await session.close();
    await expect(session.run({ x: floats([1], 1) })).rejects.toMatchObject({
      code: "run-failed",
      what: expect.stringContaining("closed"),
    });
  });

  test("sessions do not disturb each other", async () => {
    const [a, b] = await Promise.all([2, 5].map((w) => open(scaled(Float32Array.of(w)))));
    const x = floats([1, 1], 10);
    const results = await Promise.all([a.run({ x }), b.run({ x }), a.run({ x })]);
    expect(results.map(({ y }) => y.numbers()[0])).toEqual([20, 50, 20]);
    await a.close();
    expect((await b.run({ x })).y.numbers()[0]).toBe(50);
    await b.close();
  });

  test("external data under one name stays with its own model, also when opened at once", async () => {
    const weights = [1, 2, 3].map((w) => Float32Array.of(w, w));
    const sessions = await Promise.all(
      weights.map(async (w) =>
        (await runtime).open({
          bytes: scaled(w, "w.bin"),
          external: [{ path: "w.bin", data: bytesOf(w) }],
        }),
      ),
    );
    for (const [i, session] of sessions.entries()) {
      const { y } = await session.run({ x: floats([1, 2], 1, 1) });
      expect([...y.numbers()]).toEqual([...weights[i]]);
      await session.close();
    }
  });

  test("missing external data is refused", async () => {
    await expect(open(scaled(Float32Array.of(1), "w.bin"))).rejects.toMatchObject({
      code: "cannot-open",
    });
  });

  test.each(["disabled", "basic", "extended", "all"] as const)(
    "opens at optimization level %s, with engine keys and without the memory plan",
    (optimize) =>
      closing(
        open(scaled(Float32Array.of(4)), {
          optimize,
          memoryPattern: false,
          extra: { "session.disable_quant_qdq": "1" },
        }),
        async (session) => {
          const { z } = await session.run({ x: floats([1, 1], 1) });
          expect(z.numbers()[0]).toBe(-4);
        },
      ),
  );

  test("profile gives every node's time, or null where the engine cannot tell", async () => {
    const feeds = { x: floats([1, 2], 1, 2) };
    const times = await (await runtime).profile({ bytes: scaled(Float32Array.of(2, 3)) }, feeds, 3);
    if (name === "web") return expect(times).toBeNull();
    expect(times!.map(({ node, op }) => [node, op])).toEqual([
      ["Mul_0", "Mul"],
      ["Neg_1", "Neg"],
    ]);
    for (const { us } of times!) expect(us).toBeGreaterThanOrEqual(0);
  });
});

test("engine keys reach the engine: a constant branch runs once folding is switched off", async () => {
  const runtime = await openNodeRuntime(profileFiles);
  const bytes = tinyModel({
    inputs: [{ name: "x", dims: [1] }],
    outputs: [{ name: "y", dims: [1] }],
    nodes: [
      { op: "Exp", inputs: ["w"], outputs: ["e"] },
      { op: "Add", inputs: ["x", "e"], outputs: ["y"] },
    ],
    weights: [{ name: "w", dims: [1], data: Float32Array.of(1) }],
  });
  const ops = async (extra: Record<string, string>) =>
    (await runtime.profile({ bytes }, { x: floats([1], 1) }, 1, { extra }))!.map(({ op }) => op);
  expect(await ops({})).toEqual(["Add"]);
  const key = "optimization.disable_specified_optimizers";
  expect(await ops({ [key]: "ConstantFolding" })).toEqual(["Exp", "Add"]);
});

test("without a place for the trace, profile gives null", async () => {
  const runtime = await openNodeRuntime();
  expect(await runtime.profile({ bytes: identity("float32") }, {}, 1)).toBeNull();
});

function unknownOp() {
  return { op: "NoSuchOp", inputs: [], outputs: ["y"] };
}

function cast(dtype: "int4" | "bfloat16") {
  return tinyModel({
    inputs: [{ name: "x", dtype: "float32", dims: [2] }],
    outputs: [{ name: "y", dtype, dims: [2] }],
    nodes: [
      { op: "Cast", inputs: ["x"], outputs: ["y"], ints: { to: dtype === "int4" ? 22 : 16 } },
    ],
  });
}

function reshape() {
  return tinyModel({
    inputs: [
      { name: "x", dims: ["N"] },
      { name: "shape", dtype: "int64", dims: [1] },
    ],
    outputs: [{ name: "y", dims: ["M"] }],
    nodes: [{ op: "Reshape", inputs: ["x", "shape"], outputs: ["y"] }],
  });
}
