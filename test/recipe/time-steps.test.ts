/** @file The speed-up of training on a clock that only training steps move. */
import { describe, expect, test } from "vitest";
import type { MethodId } from "../../src/methods/index.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { compress } from "../../src/recipe/compress.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { trainModel } from "../../src/recipe/train.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { trainOptions } from "../../src/train/options.ts";
import { apply, environmentOf, runtime } from "../support/apply.ts";
import { nets } from "../support/nets.ts";
import { quickPlatform } from "../support/quick-platform.ts";

const net = nets.find(({ name }) => name === "gemms")!;

/**
 * An environment in which a step that learns n numbers takes n / 500 ms, and any other run 6 ms.
 * `learned` collects the numbers.
 */
function clocked(timingMs = 50): { env: Environment; learned: Set<number> } {
  let now = 0;
  const learned = new Set<number>();
  const slow: Runtime = {
    ...runtime,
    async open(source, options) {
      const session = await runtime.open(source, options);
      const port = session.inputs.find(({ name }) => name === "tersor_parameters");
      const size = Number(port?.dims[0] ?? 0);
      if (size) learned.add(size);
      return {
        inputs: session.inputs,
        outputs: session.outputs,
        close: () => session.close(),
        run(feeds, fetch) {
          now += size / 500 || 6;
          return session.run(feeds, fetch);
        },
      };
    },
  };
  const platform = { ...quickPlatform(), wallMs: () => now };
  const env = environmentOf(net, { platform, runtime: slow, timingMs, timesTraining: true });
  return { env, learned };
}

const few = { steps: 2, batch: 8, loss: "logits", holdout: 0 } as const;

/** The speed-up of training what a recipe's first step made of the network. */
async function trained(
  method: MethodId,
  given: Readonly<Record<string, unknown>>,
  { only = [], timingMs = 50 }: { only?: readonly string[]; timingMs?: number } = {},
) {
  const { env, learned } = clocked(timingMs);
  const { model } = await apply(net.model, method, given, env);
  const around = { label: "2 train", original: net.model };
  const options = trainOptions.parse({ ...few, only });
  const { speedup } = await trainModel(model, options, {}, env, around);
  return { speedup, sizes: [...learned].sort((a, b) => a - b) };
}

describe("delta.train", () => {
  test("is the time of the original's step / of the product's", async () => {
    const { speedup, sizes } = await trained("prune-channels", { ratio: 0.5 });
    expect(sizes).toHaveLength(2);
    const ratio = sizes[1] / sizes[0];
    expect(speedup!.value).toBeCloseTo(ratio, 9);
    for (const end of speedup!.ci95!) expect(end).toBeCloseTo(ratio, 9);
  });

  test("is null where the original lacks a layer that the options name", async () => {
    const { model } = await apply(net.model, "factor-svd", { energy: 0.5 }, clocked().env);
    const own = new Set([...net.model.graph.nodes].map(({ name }) => name));
    const added = [...model.graph.nodes].flatMap(({ name }) => (own.has(name) ? [] : [name]));
    const { speedup } = await trained("factor-svd", { energy: 0.5 }, { only: added.slice(0, 1) });
    expect(speedup).toBeNull();
  });

  test("is null where one step takes longer than there is time for timing", async () => {
    const { speedup } = await trained("prune-channels", { ratio: 0.5 }, { timingMs: 1 });
    expect(speedup).toBeNull();
  });

  test("of a row: 1 where the steps are the same graph, null where nothing is trained", async () => {
    const loaded = await loadModel(concat(writeModel(net.model)), nodePlatform);
    // So few zeros are stored as they are, so the layers stay what they were.
    const recipe = "prune-magnitude:sparsity=0.05 > train:steps=2,batch=8,loss=logits,holdout=0";
    const deltas = ["store-float16", recipe].map(async (text) => {
      const { result } = await compress(loaded, clocked().env, { steps: parseRecipe(text) });
      return [result.delta.train, result.delta.ci95.train];
    });
    expect(await Promise.all(deltas)).toEqual([
      [null, null],
      [1, [1, 1]],
    ]);
  });
});
