import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { Context } from "../../src/context.ts";
import { errors, fail } from "../../src/errors.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Method } from "../../src/methods/method.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { applyRecipe, type Outcome } from "../../src/recipe/apply.ts";
import { compress } from "../../src/recipe/compress.ts";
import type { Event } from "../../src/recipe/environment.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { parseRecipe, type Step } from "../../src/recipe/steps.ts";
import { nameOf, simplify } from "../../src/recipe/trial.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { type Net, nets } from "../support/nets.ts";
import { quickPlatform } from "../support/quick-platform.ts";

const [lenet, conv] = nets;
const size = (net: typeof lenet): number => writeModel(net.model).byteLength;

describe("applyRecipe", () => {
  test("each step on the one before; bytes are the file's, the start is left alone", async () => {
    const before = size(lenet);
    const env = environmentOf(lenet);
    const steps = parseRecipe("prune-magnitude:sparsity=0.8 > share-weights:bits=4");
    const outcome = await applyRecipe(lenet.model, steps, env);
    expect(outcome.kept).toEqual([true, true]);
    expect(Buffer.compare(outcome.bytes, concat(writeModel(outcome.model)))).toBe(0);
    expect(outcome.bytes.length).toBeLessThan(before / 9);
    expect(size(lenet)).toBe(before);
    expect(outcome.usedData).toBe(false);
    await outputsOf(outcome.bytes, env.feeds);
  });

  test.each([
    ["only with its optimizations: tried again without", "disabled", true],
    ["in any case: rolled back with the reason", "never", false],
  ])("an engine that fails in a step %s", async (_, works, isKept) => {
    const { runtime, ...env } = environmentOf(conv);
    const steps = parseRecipe("quantize-int8:rescue=false > share-weights:bits=4,rescue=false");
    const faulty: typeof runtime = {
      ...runtime,
      async open(source, options) {
        const isTapped = Buffer.from(source.bytes).includes("tersor_tap_0");
        if (isTapped && options?.optimize !== works) throw fail(errors.cannotOpen("engine", "bug"));
        return runtime.open(source, options);
      },
    };
    const outcome = await applyRecipe(conv.model, steps, { ...env, runtime: faulty });
    expect(outcome.kept).toEqual([isKept, true]);
    if (!isKept) {
      expect(outcome.warnings[0]).toMatch(
        /^quantize-int8.* was rolled back: refuses the model \(bug\)$/,
      );
    }
  });

  test("no steps: the model as it is", async () => {
    const outcome = await applyRecipe(lenet.model, [], environmentOf(lenet));
    expect(outcome.bytes.length).toBe(size(lenet));
    expect(outcome.kept).toEqual([]);
  });

  test("a step that makes the file larger is rolled back, the next goes on from before", async () => {
    const steps = parseRecipe(
      "share-weights:bits=2,rescue=false > quantize-weights:bits=8 > prune-random",
    );
    const outcome = await applyRecipe(lenet.model, steps, environmentOf(lenet));
    expect(outcome.kept.slice(0, 2)).toEqual([true, false]);
    expect(outcome.warnings[0]).toMatch(
      /^quantize-weights was rolled back: it made the file larger \(\d+ -> \d+ bytes\)$/,
    );
    const first = await applyRecipe(lenet.model, steps.slice(0, 1), environmentOf(lenet));
    const last = await applyRecipe(first.model, steps.slice(2), environmentOf(lenet));
    expect(outcome.bytes.length).toBe(last.bytes.length);
  });

  test("a step that buys speed may take back some bytes, never more than the whole", async () => {
    const net = nets.find(({ name }) => name === "gemms")!;
    const steps = parseRecipe("share-weights:bits=1 > quantize-dynamic");
    const outcome = await applyRecipe(net.model, steps, environmentOf(net));
    const shared = await applyRecipe(net.model, steps.slice(0, 1), environmentOf(net));
    expect(outcome.kept).toEqual([true, true]);
    expect(outcome.bytes.length).toBeGreaterThan(shared.bytes.length);
    expect(outcome.bytes.length).toBeLessThan(size(net));
  });

  test("training is kept, though normalizing gave convolutions a bias they had not", async () => {
    const start = cloneModel(conv.model);
    for (const node of start.graph.nodes) if (node.op === "Conv") node.setInput(2, null);
    const before = concat(writeModel(start)).length;
    const env = environmentOf(conv, { teacher: conv.model });
    const steps = parseRecipe("train:loss=logits,steps=1,holdout=0,batchnorm=unfold");
    const outcome = await applyRecipe(start, steps, env);
    expect(outcome.kept).toEqual([true]);
    expect(outcome.bytes.length).toBeGreaterThan(before);
  });

  test("a step that breaks the model is rolled back with the engine's words", async () => {
    const steps = [stepOf("broken", { apply: spoil })];
    const outcome = await applyRecipe(conv.model, steps, environmentOf(conv));
    expect(outcome.kept).toEqual([false]);
    expect(outcome.warnings[0]).toMatch(/^broken was rolled back: .{10,}/);
    expect(outcome.bytes.length).toBe(size(conv));
  });

  test("an output may change its length only where that depends on values", async () => {
    const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
      g (float[N,64] x) => (int64[2,K] found, float[N,32] y)
      <float[64,32] w = random(1), float one = {1}>
      { y = MatMul (x, w) large = Greater (y, one) found = NonZero (large) }`);
    inferModel(model);
    const x = tensor(
      "float32",
      [2, 64],
      Array.from({ length: 128 }, (_, i) => Math.sin(i)),
    );
    const env = environmentOf(conv, { feeds: { x } });
    const twice = stepOf("twice", {
      apply: ({ graph }) => {
        const [found, y] = graph.outputs;
        const g = build(graph);
        const doubled = g.Concat(y, y, { axis: 0 });
        doubled.name = y.name;
        y.name = "y_once";
        graph.setOutputs([found, doubled]);
      },
    });
    const pruned = parseRecipe("prune-magnitude:sparsity=0.9");
    const outcome = await applyRecipe(model, [...pruned, twice], env, { anySize: true });
    expect(outcome.kept).toEqual([true, false]);
    expect(outcome.warnings[0]).toMatch(
      /its output y is float32\[4,32\] instead of float32\[2,32\]/,
    );
    const [before, after] = [concat(writeModel(model)), outcome.bytes];
    const lengthOf = async (bytes: Uint8Array) => (await outputsOf(bytes, { x })).found.shape[1];
    expect(await lengthOf(after)).not.toBe(await lengthOf(before));
  });

  test("needs-data, aborted", async () => {
    const env = environmentOf(conv, { calibration: null });
    const steps = parseRecipe("quantize-int8");
    await expect(applyRecipe(conv.model, steps, env)).rejects.toMatchObject({ code: "needs-data" });
    const stopped = environmentOf(conv, { signal: AbortSignal.abort() });
    await expect(applyRecipe(conv.model, steps, stopped)).rejects.toMatchObject({
      code: "aborted",
    });
  });

  test("tells progress, and whether data was used", async () => {
    const events: Event[] = [];
    const env = environmentOf(conv, { onEvent: (event) => events.push(event) });
    const outcome = await applyRecipe(
      conv.model,
      parseRecipe("store-float16 > quantize-int8"),
      env,
    );
    expect(outcome.usedData).toBe(true);
    expect(outcome.training).toEqual([]);
    const shares = events.filter(
      (event) => event.type === "progress" && event.what === "store-float16",
    );
    expect(shares.length).toBeGreaterThan(2);
  });
});

/** A step by a method that only this test knows. */
const stepOf = (id: string, method: Partial<Method>): Step => ({
  id,
  method: {
    ...{ title: id, cite: "", summary: "", needs: [], options: z.object({}), survey: [] },
    ...{ neutral: null, apply() {} },
    ...method,
  },
  options: {},
});

/** Gives the model an output that no engine can compute. */
function spoil(model: Model): void {
  const node = [...model.graph.nodes].find(({ op }) => op === "Conv")!;
  node.setInput(1, model.graph.inputs[0]);
}

/** conv -> BatchNormalization -> Identity -> Relu, a constant twice, a node that nothing reads. */
function unsimplified(): Model {
  const model = layerModel(["N", 3, 8, 8], (g, x) => {
    const random = createRandom(4);
    const numbers = (size: number) =>
      Float32Array.from({ length: size }, () => 0.5 + random.float());
    const vector = () => g.constant(numbers(4));
    const twice = () => g.constant(new Float32Array([1, 2, 3, 4]), { shape: [4, 1, 1] });
    const weight = g.constant(numbers(4 * 27), { shape: [4, 3, 3, 3], name: "weight" });
    const conv = g.Conv(x, weight, null, { pads: [1, 1, 1, 1] });
    g.Exp(conv);
    const normal = g.BatchNormalization(conv, vector(), vector(), vector(), vector());
    return g.Relu(g.Mul(g.Add(g.Identity(normal), twice()), twice()));
  });
  return model;
}

const unsimplifiedNet = (): Net => {
  const model = unsimplified();
  const [{ name }] = model.graph.inputs;
  const feeds: Net["feeds"] = (records, seed = 1) => {
    const random = createRandom(seed);
    const values = Float32Array.from({ length: records * 192 }, () => random.normal());
    return { [name]: tensor("float32", [records, 3, 8, 8], values) };
  };
  return { name: "unsimplified", model, feeds };
};

const opsOf = (model: Model): string[] => [...model.graph.nodes].map(({ op }) => op).sort();

describe("a step that is rolled back", () => {
  test("leaves nothing of what it told but that, and why", async () => {
    const tell = (model: Model, context: Context, name: string): void => {
      const [node] = model.graph.nodes;
      context.skip(node.name, `${name} left it alone`);
      context.group(node.name, 2, 1, `${name} found it small`);
      context.warn(`${name} is not sure`);
    };
    const tap = async (model: Model, context: Context): Promise<void> => {
      await context.observe(model, [{ value: model.graph.outputs[0] }], () => {});
    };
    const steps = [
      stepOf("good", { apply: (model, _, context) => tell(model, context, "good") }),
      stepOf("bad", {
        async apply(model, _, context) {
          tell(model, context, "bad");
          await tap(model, context);
          await context.train(model, { steps: 1, holdout: 0 });
          spoil(model);
        },
      }),
    ];
    const env = environmentOf(conv, { teacher: conv.model });
    const outcome = await applyRecipe(conv.model, steps, env);
    expect(outcome.kept).toEqual([true, false]);
    expect(outcome.skipped.map(({ method }) => method)).toEqual(["good"]);
    expect(outcome.groups.map(({ method }) => method)).toEqual(["good"]);
    expect(outcome.training).toEqual([]);
    expect(outcome.usedData).toBe(false);
    expect(outcome.warnings).toHaveLength(2);
    expect(outcome.warnings[0]).toBe("good: good is not sure");
    expect(outcome.warnings[1]).toMatch(/^bad was rolled back: /);
    const looking = stepOf("looking", { apply: (model, _, context) => tap(model, context) });
    const kept = await applyRecipe(conv.model, [looking], environmentOf(conv));
    expect(kept.usedData).toBe(true);
  });

  test("lets normalization be folded that was kept for its training", async () => {
    const net = unsimplifiedNet();
    const failing = stepOf("failing", { needs: ["training"], apply: spoil });
    for (const steps of [[failing], [failing, ...parseRecipe("store-float16")]]) {
      const start = simplify(net.model, steps);
      expect(opsOf(start)).toContain("BatchNormalization");
      const outcome = await applyRecipe(start, steps, environmentOf(net));
      expect(outcome.kept[0]).toBe(false);
      expect(opsOf(outcome.model)).not.toContain("BatchNormalization");
      expect(Buffer.compare(outcome.bytes, concat(writeModel(outcome.model)))).toBe(0);
    }
  });
});

describe("a step that reads batch normalizations", () => {
  /** Two convolutions, each with a BatchNormalization of the scales `gammas` behind it. */
  const net = (...gammas: readonly (readonly number[])[]): Net => {
    const random = createRandom(4);
    const numbers = (size: number) => Float32Array.from({ length: size }, () => random.normal());
    const model = layerModel(["N", 3, 6, 6], (g, x) => {
      let y = x;
      let depth = 3;
      for (const scale of gammas) {
        const width = scale.length;
        const vector = (value: number) => g.constant(new Float32Array(width).fill(value));
        const weight = g.constant(numbers(width * depth * 9), { shape: [width, depth, 3, 3] });
        const norm = [g.constant(scale), vector(0.5), vector(0), vector(1)] as const;
        y = g.Relu(g.BatchNormalization(g.Conv(y, weight, null, { pads: [1, 1, 1, 1] }), ...norm));
        depth = width;
      }
      return g.Conv(y, g.constant(numbers(2 * depth), { shape: [2, depth, 1, 1] }));
    });
    const feeds: Net["feeds"] = (records) => ({
      x: tensor("float32", [records, 3, 6, 6], numbers(records * 108)),
    });
    return { name: "normed", model, feeds };
  };
  const run = async (given: Net, recipe: string) => {
    const steps = parseRecipe(recipe);
    const start = simplify(given.model, steps);
    return applyRecipe(start, steps, environmentOf(given));
  };

  test("network slimming: one threshold over the scales of all layers, as they are", async () => {
    const model = net([0.1, 0.4, 0.2, 0.3], [4, 2, 1, 3]);
    const recipe = "prune-channels:rescue=false,criterion=bn-gamma,ratio=0.5,round=1,allocation=";
    const global = await run(model, `${recipe}global`);
    const left = ({ groups }: Outcome) =>
      groups.flatMap(({ before, after }) => (before === 4 ? after : []));
    expect(left(global)).toEqual([1, 3]);
    expect(opsOf(global.model)).not.toContain("BatchNormalization");
    const uniform = await run(model, `${recipe}uniform`);
    expect(left(uniform)).toEqual([2, 2]);
  });

  test("statistics measured anew, where nothing trains", async () => {
    const recipe = "prune-channels:ratio=0.5,round=1,repair=";
    const given = net([1, 1, 1, 1], [1, 1, 1, 1]);
    const [anew, only] = [
      await run(given, `${recipe}batchnorm`),
      await run(given, `${recipe}bias`),
    ];
    expect(anew.warnings.join()).not.toContain("no BatchNormalization");
    expect(Buffer.compare(anew.bytes, only.bytes)).not.toBe(0);
    expect(opsOf(anew.model)).not.toContain("BatchNormalization");
  });
});

describe("without simplifying", () => {
  test("nothing goes but what a step leaves unread", async () => {
    const net = unsimplifiedNet();
    const before = opsOf(net.model);
    const constants = net.model.graph.constants.size;
    expect(before).toEqual(["Add", "BatchNormalization", "Conv", "Exp", "Identity", "Mul", "Relu"]);
    const recipe = "prune-magnitude:sparsity=0.5 > train:steps=1,holdout=0,loss=logits";
    const env = environmentOf(net, { teacher: net.model });
    const outcome = await applyRecipe(net.model, parseRecipe(recipe), env, { simplify: false });
    expect(outcome.kept).toEqual([true, true]);
    expect(opsOf(outcome.model).filter((op) => before.includes(op))).toEqual(before);
    const loaded = await loadModel(concat(writeModel(net.model)), nodePlatform);
    const steps = parseRecipe("train:steps=1,holdout=0,loss=logits");
    const timed = { ...env, platform: quickPlatform(), timingMs: 1 };
    const { bytes } = await compress(loaded, timed, { steps, simplify: false });
    const { graph } = readModel(bytes, { name: "product" });
    expect(opsOf({ ...net.model, graph })).toEqual(before);
    expect(graph.constants.size).toBe(constants);
  });

  test("what a step leaves unread goes", async () => {
    const net = unsimplifiedNet();
    const relu = stepOf("drop-relu", {
      apply(model) {
        const node = [...model.graph.nodes].find(({ op }) => op === "Relu")!;
        model.graph.replace(node.output, node.inputs[0]!);
      },
    });
    const outcome = await applyRecipe(net.model, [relu], environmentOf(net), { simplify: false });
    const left = ["Add", "BatchNormalization", "Conv", "Exp", "Identity", "Mul"];
    expect(opsOf(outcome.model)).toEqual(left);
  });
});

describe("simplify", () => {
  test.each(nets.map((net) => [net.name, net] as const))("%s keeps its outputs", async (_, net) => {
    const { feeds } = environmentOf(net);
    const original = await outputsOf(concat(writeModel(net.model)), feeds);
    const simple = simplify(net.model);
    const written = concat(writeModel(simple));
    expect(written.length).toBeLessThanOrEqual(size(net));
    expect(relativeError(original, await outputsOf(written, feeds))).toBeLessThan(1e-5);
    const layers = (model: typeof simple): string[] =>
      [...model.graph.nodes].map(({ name }) => name);
    expect(layers(simple)).toEqual(layers(net.model));
  });

  test("is what no steps are called", () => {
    expect(nameOf([])).toBe("simplify");
    expect(nameOf(parseRecipe("share-weights:bits=4"))).toBe("share-weights:bits=4");
  });
});
