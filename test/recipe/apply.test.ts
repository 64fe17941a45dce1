import { describe, expect, test } from "vitest";
import { cloneModel } from "../../src/ir/model.ts";
import { methods } from "../../src/methods/index.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Event } from "../../src/recipe/environment.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { nameOf, simplify } from "../../src/recipe/trial.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";
import { nets } from "../support/nets.ts";

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

  test("no steps: the model as it is", async () => {
    const outcome = await applyRecipe(lenet.model, [], environmentOf(lenet));
    expect(outcome.bytes.length).toBe(size(lenet));
    expect(outcome.kept).toEqual([]);
  });

  test("a step that makes the file larger is rolled back, the next goes on from before", async () => {
    const steps = parseRecipe("share-weights:bits=2 > quantize-weights:bits=8 > prune-random");
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
    const { shareWeights } = { shareWeights: methods["share-weights"] };
    const { apply } = shareWeights;
    const env = environmentOf(conv);
    try {
      Object.assign(shareWeights, {
        apply: (model: typeof conv.model) => {
          const [first] = [...model.graph.nodes].filter(({ op }) => op === "Conv");
          first.setInput(1, first.inputs[1] && model.graph.inputs[0]);
        },
      });
      const outcome = await applyRecipe(conv.model, parseRecipe("share-weights"), env);
      expect(outcome.kept).toEqual([false]);
      expect(outcome.warnings[0]).toMatch(/^share-weights was rolled back: .{10,}/);
      expect(outcome.bytes.length).toBe(size(conv));
    } finally {
      Object.assign(shareWeights, { apply });
    }
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
