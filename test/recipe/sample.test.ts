/** @file Random inputs that a model accepts: sizes, integers and inputs that must agree. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { feedingOf } from "../../src/data/feed.ts";
import { type Dims, guessShapes } from "../../src/data/guess-shapes.ts";
import { parseModel } from "../../src/ir/parse.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { sampleFeeds } from "../../src/recipe/sample.ts";
import type { Feeds, Port } from "../../src/runtime/runtime.ts";
import { runtime } from "../support/apply.ts";
import { assets } from "../support/assets.ts";

/** The random inputs for a file; they have been run in the engine. */
async function feedsOf(bytes: Uint8Array, dims: Dims = {}, seed = 1): Promise<Feeds> {
  const model = readModel(bytes, { name: "test" });
  inferModel(model);
  const session = await runtime.open({ bytes });
  try {
    return await sampleFeeds(session, model, { data: null, seed, dims });
  } finally {
    await session.close();
  }
}

/** The same for a model in ONNX's text form: its inputs, output, constants and nodes. */
function feeds(head: string, constants: string, nodes: string, dims?: Dims): Promise<Feeds> {
  const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
    g ${head} ${constants && `<${constants}>`} { ${nodes} }`);
  inferModel(model);
  return feedsOf(concat(writeModel(model)), dims);
}

const shapesOf = (feeds: Feeds) =>
  Object.fromEntries(Object.entries(feeds).map(([name, { shape }]) => [name, shape]));
const range = (tensor: Tensor) => {
  const numbers = Array.from(tensor.numbers());
  numbers.sort((a, b) => a - b);
  return [numbers[0], numbers.at(-1)];
};

describe("sizes that the model leaves open", () => {
  test.each([
    ["a picture", "(float[N,3,H,W] x) => (float[N,3,H,W] y)", [1, 3, 224, 224]],
    ["a picture, channels last", "(uint8[N,H,W,3] x) => (uint8[N,H,W,3] y)", [1, 224, 224, 3]],
    ["one side of a picture", "(float[N,3,48,W] x) => (float[N,3,48,W] y)", [1, 3, 48, 224]],
    ["other maps", "(float[N,8,H,W] x) => (float[N,8,H,W] y)", [1, 8, 64, 64]],
    ["tokens", "(int64[N,T] x) => (int64[N,T] y)", [1, 128]],
    ["a sequence of vectors", "(float[N,T,40] x) => (float[N,T,40] y)", [1, 128, 40]],
    ["a wave", "(float[N,L] x) => (float[N,L] y)", [1, 512]],
  ])("%s", async (_, head, shape) => {
    const found = await feeds(head, "", "y = Identity (x)");
    expect(found.x.shape).toEqual(shape);
  });

  test("what the graph forces is not guessed", async () => {
    const constants = "float[9,5,3,3] k = random(1), float[1,9,17,1] p = random(2)";
    const nodes = "c = Conv <pads = [1, 1, 1, 1]> (x, k) y = Add (c, p)";
    // Nothing links the width to the map, so it is that of other maps.
    const found = await feeds("(float[N,C,17,W] x) => (float[N,9,17,W] y)", constants, nodes);
    expect(found.x.shape).toEqual([1, 5, 17, 64]);
  });

  test("a table of positions bounds the length", async () => {
    const head = "(int64[N,T] ids) => (float[N,T,4] y)";
    const constants =
      "float[9,4] v = random(1), float[1,56,4] p = random(2), int64[1] zero = {0}, int64[1] one = {1}";
    // The positions are cut to the length, which may be at most 56; the default is 128.
    const nodes =
      "s = Shape <start = 1> (ids) q = Slice (p, zero, s, one) e = Gather (v, ids) y = Add (e, q)";
    expect((await feeds(head, constants, nodes)).ids.shape).toEqual([1, 32]);
  });

  test("a shared name is one size, wherever it stands", async () => {
    const head = "(float[N,64] x, float[2,N,32] state) => (float[N,64] y, float[2,N,32] s)";
    const found = await feeds(head, "", "y = Relu (x) s = Relu (state)");
    expect(shapesOf(found)).toEqual({ x: [1, 64], state: [2, 1, 32] });
  });

  const two = "(float[A,B] x, int64[C,D] z) => (float[A,B] y)";
  test("axes of different names agree where the graph joins them", async () => {
    const found = await feeds(two, "", "c = Cast <to = 1> (z) y = Mul (x, c)");
    expect(found.z.shape).toEqual(found.x.shape);
    const given = await feeds(two, "", "c = Cast <to = 1> (z) y = Mul (x, c)", { D: 7 });
    expect(shapesOf(given)).toEqual({ x: [1, 7], z: [1, 7] });
  });

  test("and where only a run shows it", async () => {
    const nodes = "c = Cast <to = 1> (z) a = Reshape (x, m) b = Reshape (c, m) y = Mul (a, b)";
    const found = await feeds(two.replace("[A,B] y", "[M] y"), "int64[1] m = {-1}", nodes);
    expect(found.z.shape).toEqual(found.x.shape);
  });

  test("a name that is a sum is the sum", async () => {
    const head =
      '(float[N,S,4] x, float[N,P,4] past, float[N,"P + S",4] z) => (float[N,"P + S",4] y)';
    const found = await feeds(head, "", "j = Concat <axis = 1> (past, x) y = Mul (j, z)");
    expect(found.z.shape[1]).toBe(found.x.shape[1] + found.past.shape[1]);
    const given = await feeds(head, "", "j = Concat <axis = 1> (past, x) y = Mul (j, z)", {
      P: 5,
      S: 1,
    });
    expect(given.z.shape).toEqual([1, 6, 4]);
  });

  test("a cache may be empty where nothing else fits", async () => {
    const head = "(float[N,2,S,4] x, float[N,2,P,4] past, int64[N,M] mask) => (float[N,2,M,4] y)";
    const nodes = `j = Concat <axis = 2> (past, x) f = Cast <to = 1> (mask)
      u = Unsqueeze (f, sides) y = Mul (j, u)`;
    const found = await feeds(head, "int64[2] sides = {1, 3}", nodes);
    expect(found.past.shape[2] + found.x.shape[2]).toBe(found.mask.shape[1]);
  });

  test("sums of each other end, and names of every object are names", () => {
    const port = (name: string, dims: (string | number)[]): Port => ({
      name,
      dtype: "float32",
      dims,
    });
    const [first] = guessShapes(
      [port("a", [1, "A + 1"]), port("b", [1, "B + 1"]), port("c", [1, "A"]), port("d", [1, "B"])],
      new Map([
        ["a.1", "B"],
        ["b.1", "A"],
        ["c.1", "A"],
        ["d.1", "B"],
      ]),
      {},
    );
    expect(Object.values(first).every(([, size]) => size > 0 && size < 2000)).toBe(true);
    const [hostile] = guessShapes(
      [port("__proto__", ["constructor", "toString", 3])],
      new Map(),
      {},
    );
    expect(Object.entries(hostile)).toEqual([["__proto__", [1, 128, 3]]]);
  });

  test("inputs that no memory holds are refused, not drawn", async () => {
    const huge = feeds("(float[2147483648] x) => (float[2147483648] y)", "", "y = Identity (x)");
    await expect(huge).rejects.toMatchObject({
      code: "bad-feeds",
      message: expect.stringContaining("2147483648 elements"),
    });
  });

  test("if no size fits, the error says how to give them", async () => {
    const head = "(float[N,T] x) => (float[N,37] y)";
    const nodes = "r = Reshape (x, s) y = Reshape (r, t)";
    const constants = "int64[3] s = {-1, 37, 41}, int64[2] t = {-1, 37}";
    await expect(feeds(head, constants, nodes)).rejects.toMatchObject({
      code: "bad-feeds",
      remedy: "Give sizes with --dims x.0=N,x.1=N, or --data",
    });
    expect((await feeds(head, constants, nodes, { T: 1517 })).x.shape).toEqual([1, 1517]);
  });
});

describe("integers", () => {
  test("indices are drawn from the whole table, masks hide nothing, types stay in theirs", async () => {
    const head = "(int64[N,T] ids, int64[B,U] types, int64[D,V] mask) => (float[N,T,4] y)";
    const constants = `float[5,4] words = random(1), float[2,4] kinds = random(2),
      int64[1] last = {-1}, float one = {1.0}, float far = {-10000.0}`;
    const nodes = `e = Gather (words, ids) k = Gather (kinds, types) s = Add (e, k)
      f = Cast <to = 1> (mask) o = Sub (one, f) n = Mul (o, far) u = Unsqueeze (n, last)
      y = Add (s, u)`;
    const found = await feeds(head, constants, nodes);
    expect(shapesOf(found)).toEqual({ ids: [1, 128], types: [1, 128], mask: [1, 128] });
    expect(range(found.ids)).toEqual([0, 4]);
    expect(range(found.types)).toEqual([0, 1]);
    expect(range(found.mask)).toEqual([1, 1]);
    // Each input has random numbers of its own.
    expect(Array.from(found.types.numbers())).not.toEqual(Array.from(found.mask.numbers()));
  });

  test("a mask is known by its name where nothing else tells it", async () => {
    const nodes = "y = Add (x, attention_mask)";
    const found = await feeds(
      "(float[N,4] x, float[N,4] attention_mask) => (float[N,4] y)",
      "",
      nodes,
    );
    expect(new Set(found.attention_mask.numbers())).toEqual(new Set([1]));
  });

  test("states and caches are as before the first step", async () => {
    const head =
      "(float[N,T,4] x, float[2,N,4] hidden, float[N,T,4] past_key) => (float[N,T,4] y, float[2,N,4] h)";
    const found = await feeds(head, "", "y = Add (x, past_key) h = Relu (hidden)");
    expect([range(found.hidden), range(found.past_key)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
    expect(range(found.x)[1]).toBeGreaterThan(0.9);
  });

  test("indices are followed through what moves and shifts them", async () => {
    const constants = `float[12,4] v = random(1), int64[1] first = {0}, int64[2] flat = {0, -1},
      int64 five = {5}`;
    // Rows v[ids + 5] of a table of 12: ids from -5 to 6.
    const nodes = `c = Cast <to = 7> (ids) u = Unsqueeze (c, first) s = Squeeze (u, first)
      r = Reshape (s, flat) a = Add (r, five) y = Gather (v, a)`;
    const found = await feeds("(int32[N,T] ids) => (float[N,T,4] y)", constants, nodes);
    expect(range(found.ids)).toEqual([-5, 6]);
  });

  test("inputs are fed as it is said", async () => {
    const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
      g (float[N,T] x, float[R,M,3] h, int64 sr, int64[N,T] pos) => (float[N,T] y, float[R,M,3] z)
      { f = Cast <to = 1> (sr) p = Cast <to = 1> (pos) a = Mul (x, f) y = Add (a, p) z = Relu (h) }`);
    inferModel(model);
    const bytes = concat(writeModel(model));
    const session = await runtime.open({ bytes });
    const feeding = feedingOf("sr=16000,h=axis:1,pos=range,x=0.5");
    const data = { data: null, seed: 1, feeding, dims: { T: 4, R: 2 } };
    const found = await sampleFeeds(session, model, data);
    await session.close();
    expect(shapesOf(found)).toEqual({ x: [1, 4], h: [2, 1, 3], sr: [], pos: [1, 4] });
    expect(Array.from(found.pos.numbers())).toEqual([0, 1, 2, 3]);
    expect([range(found.sr), range(found.x)]).toEqual([
      [16000, 16000],
      [0.5, 0.5],
    ]);
  });

  test("truth values are mixed, and begin with true", async () => {
    const head = "(bool[N,T] on, bool all) => (bool[N,T] y)";
    const found = await feeds(head, "", "y = And (on, all)");
    expect(new Set(found.on.numbers())).toEqual(new Set([0, 1]));
    expect([found.on.numbers()[0], found.all.numbers()[0]]).toEqual([1, 1]);
  });

  test("pixels of 8 bits have all values", async () => {
    const found = await feeds(
      "(uint8[N,H,W,3] x) => (float[N,H,W,3] y)",
      "",
      "y = Cast <to = 1> (x)",
    );
    expect(range(found.x)).toEqual([0, 255]);
  });

  test("what no rule finds is found by trying", async () => {
    const nodes = "a = Abs (ids) y = Gather (v, a)";
    const found = await feeds(
      "(int64[N,T] ids) => (float[N,T,4] y)",
      "float[2,4] v = random(1)",
      nodes,
    );
    expect(range(found.ids)).toEqual([0, 1]);
  });

  test("are the same for the same seed, and others for another", async () => {
    const draw = async (seed: number) => {
      const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
        g (int64[N,T] ids) => (float[N,T,4] y) <float[50,4] v = random(1)> { y = Gather (v, ids) }`);
      inferModel(model);
      return Array.from((await feedsOf(concat(writeModel(model)), {}, seed)).ids.numbers());
    };
    expect(await draw(1)).toEqual(await draw(1));
    expect(await draw(2)).not.toEqual(await draw(1));
  });
});

describe("models on which something went wrong", () => {
  const cases = [
    ["cases/vocab5", { dna: [1, 128] }],
    ["cases/scalar_input", { input: [1, 64], state: [2, 1, 32], sr: [] }],
    ["cases/state_fixed", { x: [1, 32], state: [2, 1, 32], size: [2] }],
    ["cases/genai_gqa", { ids: [1, 16], pk: [1, 2, 16, 16], seqlens_k: [1] }],
    ["models/sst2_transformer", { input_ids: [1, 32] }],
    ["models/stories260k", { input_ids: [1, 128] }],
    ["models/silero_vad_op18_ifless", { input: [1, 512], state: [2, 1, 128], sr: [] }],
    ["models/superres_x3_core", { y: [1, 1, 224, 224] }],
  ] as const;
  test.skipIf(!assets("models")).each(cases)("%s", async (name, shapes) => {
    const found = await feedsOf(new Uint8Array(readFileSync(assets(`${name}.onnx`)!)));
    expect(shapesOf(found)).toMatchObject(shapes);
    if (found.dna) expect(range(found.dna)).toEqual([0, 4]);
    if (found.sr) expect(Number(found.sr.numbers()[0])).toBe(16000);
    if (found.seqlens_k) {
      expect([...found.seqlens_k.numbers(), ...found.total.numbers()]).toEqual([31, 32]);
    }
  });
});
