/** @file Early exit: which records take it, what they get, and that the rest is the model's own. */
import { describe, expect, test } from "vitest";
import { tellExit, thresholdFor } from "../../src/evidence/exits.ts";
import type { DType } from "../../src/ir/dtype.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { exitEarly } from "../../src/layers/branch.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel, inferNode } from "../../src/ops/infer.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { decides, timeSessions } from "../../src/recipe/time-sessions.ts";
import { environmentOf, runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";
import { linear, type TinyNode, tinyModel } from "../support/tiny.ts";

const random = createRandom(8);
const some = (size: number) => Float32Array.from({ length: size }, () => random.normal());

const [A, B] = [some(16), some(12)];

/** y = B Relu(A x). */
const small = () =>
  readModel(
    tinyModel({
      inputs: [{ name: "x", dims: ["N", 4] }],
      outputs: [{ name: "y", dims: ["N", 3] }],
      nodes: [
        { op: "MatMul", name: "a", inputs: ["x", "A"], outputs: ["h"] },
        { op: "Relu", name: "r", inputs: ["h"], outputs: ["hr"] },
        { op: "MatMul", name: "b", inputs: ["hr", "B"], outputs: ["y"] },
      ],
      weights: [
        { name: "A", dims: [4, 4], data: A },
        { name: "B", dims: [4, 3], data: B },
      ],
    }),
  );

async function run(
  model: ReturnType<typeof small>,
  x: readonly number[],
  input = "x",
  output = "y",
): Promise<number[]> {
  const session = await runtime.open({ bytes: concat(writeModel(model)) }, { threads: 1 });
  const found = await session.run({ [input]: tensor("float32", [x.length / 4, 4], x) });
  await session.close();
  return Array.from(found[output].numbers());
}

describe("the rest of a graph behind an If", () => {
  const branched = () => {
    const model = small();
    inferModel(model);
    const { graph } = model;
    const hidden = [...graph.nodes][1].output;
    const g = build(graph, "exit", inferNode);
    const early = g.Slice(hidden, g.ints([0]), g.ints([3]), g.ints([1]));
    const first = g.ReduceMax(hidden, null, { keepdims: 0 });
    const why = exitEarly(graph, g.Greater(first, g.constant(3)), early);
    return { model, why };
  };

  test("gives the early value where the condition holds, else what the model gave", async () => {
    const { model, why } = branched();
    expect(why).toBeNull();
    const plain = small();
    const [strong, weak] = [
      [90, -80, 70, 60],
      [0.1, -0.1, 0.2, 0.1],
    ];
    const hidden = (x: number[]) => {
      return [0, 1, 2].map((c) =>
        Math.max(
          0,
          x.reduce((s, v, i) => s + v * A[i * 4 + c], 0),
        ),
      );
    };
    const taken = await run(model, strong);
    for (const [i, h] of hidden(strong).entries()) expect(taken[i]).toBeCloseTo(h, 3);
    expect(await run(model, weak)).toEqual(await run(plain, weak));
  });

  test("the moved constants are the body's own, and nothing of it is left outside", () => {
    const { graph } = branched().model;
    expect([...graph.nodes].map(({ name }) => name)).not.toContain("b");
    expect([...graph.constants].map(({ name }) => name)).not.toContain("B");
    const rest = [...graph.walk()].find(({ name }) => name === "late")!;
    expect([...rest.constants].map(({ tensor }) => tensor?.shape)).toEqual([[4, 3]]);
    expect(graph.outputs[0].name).toBe("y");
  });
});

describe("threshold", () => {
  /** Scores [s, 0] of two classes: sure by 1 / (1 + e^-|s|). */
  const pairs = (scores: readonly number[]) => scores.flatMap((s) => [s, 0]);
  const sure = (s: number) => 1 / (1 + Math.exp(-Math.abs(s)));

  test("is the least one whose changed answers stay within the limit", () => {
    const late = pairs([1, 1, 1, 1, 1]);
    const early = pairs([5, 4, -3, 2, -1]);
    const none = thresholdFor(late, early, 2, 0);
    expect(none?.taken).toBe(0.4);
    expect(none?.threshold).toBeCloseTo(sure(4), 12);
    const found = thresholdFor(late, early, 2, 20);
    expect(found?.taken).toBe(0.8);
    expect(found?.threshold).toBeCloseTo(sure(2), 12);
    expect(thresholdFor(late, early, 2, 40)?.taken).toBe(1);
  });

  test("equally sure records go together; none is sure enough where the surest is wrong", () => {
    expect(thresholdFor(pairs([1, 1, 1]), pairs([3, 2, -2]), 2, 0)?.taken).toBeCloseTo(1 / 3, 12);
    expect(thresholdFor(pairs([1, 1]), pairs([-3, 2]), 2, 0)).toBeNull();
  });
});

test("a model with an exit is timed over records, others over one", async () => {
  const net = nets.find(({ name }) => name === "gemms") ?? nets[0];
  const seen: unknown[] = [];
  const many = [net.feeds(1, 1), net.feeds(1, 2), net.feeds(1, 3)];
  const env = environmentOf(net, { feeds: net.feeds(1), manyFeeds: async () => many });
  const session = { run: async (feeds: unknown) => void seen.push(feeds), close() {} };
  const opened = [{ source: { bytes: new Uint8Array() }, session: session as never }];
  await timeSessions(opened, env, 0, { varies: decides(net.model) });
  expect(new Set(seen)).toEqual(new Set([env.feeds]));
  seen.length = 0;
  const outcome = await applyRecipe(
    net.model,
    parseRecipe("early-exit:flips=100,steps=1,hidden=4"),
    env,
  );
  expect(outcome.kept).toEqual([true]);
  expect(decides(outcome.model)).toBe(true);
  await timeSessions(opened, env, 0, { varies: decides(outcome.model) });
  expect(new Set(seen)).toEqual(new Set(many));
});

test("the model's own weights learn only where that is asked for", async () => {
  const net = nets.find(({ name }) => name === "gemms") ?? nets[0];
  const own = [...net.model.graph.constants].map(({ tensor }) => tensor);
  const left = async (joint: boolean) => {
    const recipe = `early-exit:flips=100,steps=2,hidden=4,joint=${joint}`;
    const { model } = await applyRecipe(net.model, parseRecipe(recipe), environmentOf(net));
    const after = [...model.graph.walk()].flatMap((graph) => [...graph.constants]);
    return after.filter(({ tensor }) => own.includes(tensor)).length;
  };
  const [apart, together] = [await left(false), await left(true)];
  expect(apart).toBeGreaterThan(2);
  expect(together).toBeLessThan(apart - 2);
});

test("the work of what decides is told, and where it makes an exit no gain", async () => {
  const feeds = { x: tensor("float32", [8, 4], some(32)) };
  const data = tensorDataset(feeds);
  const env = environmentOf(nets[0], { calibration: data, training: data, feeds });
  const start = small();
  inferModel(start);
  const steps = parseRecipe("early-exit:flips=100,steps=1,hidden=4,layers=1");
  const { warnings } = await applyRecipe(start, steps, env);
  // A has 16 multiplications, B 12, the classifier 16 + 12; all records take the exit.
  expect(warnings.join()).toMatch(
    /behind r, 57.1 % of the work: 100 % .* adds 100 % of the work, .* 157 % on average, .*no gain/,
  );
  const few = tellExit("a", { front: 0.5, added: 0.1 }, { threshold: 0.9, taken: 0.6 });
  expect(few).toMatch(/takes 80 % on average$/);
});

test("a short classifier is the rest without the blocks that keep their shape", async () => {
  const weight = (g: Builder, rows: number, columns: number) =>
    g.constant(some(rows * columns), { shape: [rows, columns] });
  const start = layerModel(["N", 5], (g, x) => {
    let y = g.Relu(g.MatMul(x, weight(g, 5, 4)));
    for (let i = 0; i < 3; i++) y = g.Relu(g.Add(y, g.MatMul(y, weight(g, 4, 4))));
    const [short, branch] = [0, 1].map(() => g.MatMul(y, weight(g, 4, 6)));
    return g.MatMul(g.Relu(g.Add(short, branch)), weight(g, 6, 3));
  });
  const feeds = { x: tensor("float32", [40, 5], some(200)) };
  const training = tensorDataset(feeds);
  const read = () => Promise.reject(new Error("the classifier was trained on these"));
  const calibration = { ...training, read };
  const env = environmentOf(nets[0], { calibration, training, feeds });
  const recipe = "early-exit:flips=100,steps=1,rate=1e-9,at=0.25";
  const { model, warnings } = await applyRecipe(start, parseRecipe(recipe), env);
  // Multiplications: 20 + 3 x 16 + 2 x 24 + 18 = 134; 20 + 16 lie in front, the copy has 48 + 18.
  expect(warnings.join()).toMatch(/26.9 % of the work: 100 % .* adds 49.3 % of the work/);
  const shapesIn = (graph: Graph | undefined) =>
    [...(graph?.constants ?? [])]
      .map(({ tensor }) => tensor!.shape.join())
      .filter((own) => own !== "");
  const late = [...model.graph.walk()].find(({ name }) => name === "late");
  const copied = ["4,6", "4,6", "6,3"];
  expect(
    shapesIn(model.graph)
      .filter((own) => own.includes(","))
      .sort(),
  ).toEqual(["4,4", "5,4", ...copied].sort());
  expect(shapesIn(late).sort()).toEqual(["4,4", "4,4", ...copied].sort());
});

describe("no exit", () => {
  const feeds = { x: tensor("float32", [8, 4], some(32)) };
  const env = environmentOf(nets[0], {
    ...{ calibration: tensorDataset(feeds), training: tensorDataset(feeds), feeds },
  });
  const exitOf = (start: ReturnType<typeof small>) => {
    inferModel(start);
    return applyRecipe(start, parseRecipe("early-exit:flips=100,steps=1,hidden=4"), env);
  };
  /** y = B Relu(A x) with `nodes` behind the Relu's output hr. */
  const ending = (nodes: TinyNode[], dims: (number | string)[], dtype: DType = "float32") =>
    readModel(
      tinyModel({
        inputs: [{ name: "x", dims: ["N", 4] }],
        outputs: [{ name: "y", dtype, dims }],
        nodes: [
          { op: "MatMul", name: "a", inputs: ["x", "A"], outputs: ["h"] },
          { op: "Relu", name: "r", inputs: ["h"], outputs: ["hr"] },
          ...nodes,
        ],
        weights: [
          { name: "A", dims: [4, 4], data: A },
          { name: "B", dims: [4, 3], data: B },
          { name: "C", dims: [4, 1], data: A.subarray(0, 4) },
          { name: "pairs", dims: [2], dtype: "int64", data: BigInt64Array.of(-1n, 2n) },
          { name: "D", dims: [2, 2], data: A.subarray(4, 8) },
          { name: "fours", dims: [2], dtype: "int64", data: BigInt64Array.of(-1n, 4n) },
        ],
      }),
    );

  test("where a record has one number, of which softmax is sure always", async () => {
    const one = ending([{ op: "MatMul", inputs: ["hr", "C"], outputs: ["y"] }], ["N", 1]);
    const { model, skipped } = await exitOf(one);
    expect(decides(model)).toBe(false);
    expect(skipped[0].reason).toMatch(/C > 1/);
  });

  test("where the output is an index", async () => {
    const index = ending(
      [
        { op: "MatMul", inputs: ["hr", "B"], outputs: ["s"] },
        { op: "ArgMax", inputs: ["s"], outputs: ["y"], ints: { axis: 1 } },
      ],
      ["N", 1],
      "int64",
    );
    expect((await exitOf(index)).skipped[0].reason).toMatch(/float32 score/);
  });

  test("before an exit that the model has already, and nothing is trained for it", async () => {
    const start = small();
    inferModel(start);
    const steps = parseRecipe("early-exit:flips=100,steps=1,hidden=4");
    const { model } = await applyRecipe(start, steps, env);
    const { skipped, training } = await applyRecipe(model, steps, env);
    expect(skipped[0].reason).toMatch(/behind its last If/);
    expect(training).toEqual([]);
  });

  test("behind rows that are parts of a record", async () => {
    const parts = ending(
      [
        { op: "Reshape", inputs: ["hr", "pairs"], outputs: ["p"] },
        { op: "MatMul", name: "part", inputs: ["p", "D"], outputs: ["q"] },
        { op: "Relu", name: "rq", inputs: ["q"], outputs: ["qr"] },
        { op: "Reshape", inputs: ["qr", "fours"], outputs: ["z"] },
        { op: "MatMul", name: "b", inputs: ["z", "B"], outputs: ["y"] },
      ],
      ["N", 3],
    );
    const steps = parseRecipe("early-exit:flips=100,steps=1,hidden=4,at=0.7");
    inferModel(parts);
    const { model, skipped } = await applyRecipe(parts, steps, env);
    expect(decides(model)).toBe(false);
    expect(skipped[0].reason).toMatch(/no block ends .* for each record/);
  });
});

describe("cascade", () => {
  const large = small();
  const path = "small.onnx";
  const env = environmentOf(nets[0], {
    calibration: tensorDataset({ x: tensor("float32", [40, 4], some(160)) }),
    feeds: { x: tensor("float32", [1, 4], some(4)) },
  });
  const files = { ...env.platform.files, read: async () => concat(writeModel(smaller())) };
  const around = { ...env, platform: { ...env.platform, files } };
  const product = Float32Array.from({ length: 12 }, (_, i) =>
    [0, 1, 2, 3].reduce((sum, k) => sum + A[Math.floor(i / 3) * 4 + k] * B[k * 3 + (i % 3)], 0),
  );
  /** y = B A x, whose answers are often those of the large model. */
  const smaller = () =>
    readModel(
      tinyModel({
        inputs: [{ name: "z", dims: ["N", 4] }],
        outputs: [{ name: "small", dims: ["N", 3] }],
        nodes: [{ op: "MatMul", name: "a", inputs: ["z", "C"], outputs: ["small"] }],
        weights: [{ name: "C", dims: [4, 3], data: product }],
      }),
    );

  test("changes as many answers as are allowed, and gives either model's output", async () => {
    const steps = parseRecipe(`cascade:model=${path},flips=10`);
    const { model, warnings } = await applyRecipe(large, steps, around);
    expect(warnings.join()).toMatch(/small.onnx: .* % of the calibration records take it/);
    const { inputs } = await around.calibration!.read(Array.from({ length: 40 }, (_, i) => i));
    const rows = Array.from({ length: 40 }, (_, i) =>
      Array.from(inputs.x.numbers()).slice(4 * i, 4 * i + 4),
    );
    let [changed, early] = [0, 0];
    for (const row of rows) {
      const [got, first, last] = [
        await run(model, row),
        await run(smaller(), row, "z", "small"),
        await run(large, row),
      ];
      const best = (all: number[]) => all.indexOf(Math.max(...all));
      expect([first, last].some((y) => y.every((v, i) => Math.abs(v - got[i]) < 1e-5))).toBe(true);
      if (first.every((v, i) => Math.abs(v - got[i]) < 1e-5)) early++;
      if (best(got) !== best(last)) changed++;
    }
    expect(changed).toBeLessThanOrEqual(4);
    expect(early).toBeGreaterThan(changed);
    expect(early).toBeLessThan(40);
  });

  test("refuses a model of other classes", async () => {
    const other = { ...files, read: async () => concat(writeModel(nets[0].model)) };
    const wrong = { ...env, platform: { ...env.platform, files: other } };
    await expect(
      applyRecipe(large, parseRecipe(`cascade:model=${path}`), wrong),
    ).rejects.toMatchObject({ code: "bad-option" });
  });

  test("refuses models that give one number for each record", async () => {
    const one = readModel(linear(some(4), some(1)));
    const own = { ...files, read: async () => concat(writeModel(one)) };
    const wrong = { ...env, platform: { ...env.platform, files: own } };
    await expect(
      applyRecipe(one, parseRecipe(`cascade:model=${path}`), wrong),
    ).rejects.toMatchObject({ code: "bad-option" });
  });
});
