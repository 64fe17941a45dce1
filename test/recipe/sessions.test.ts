/** @file Whatever goes wrong while a model is measured or trained, no engine session stays open. */
import { describe, expect, test } from "vitest";
import { errors, fail } from "../../src/errors.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { bench } from "../../src/recipe/bench.ts";
import { compress } from "../../src/recipe/compress.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { evaluate } from "../../src/recipe/evaluate.ts";
import { inspect } from "../../src/recipe/inspect.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { survey } from "../../src/recipe/survey.ts";
import type { Runtime, Session } from "../../src/runtime/runtime.ts";
import { environmentOf, runtime } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";
import { quickPlatform } from "../support/quick-platform.ts";

const net = nets.find(({ name }) => name === "gemms")!;
const loaded = await loadModel(concat(writeModel(net.model)), nodePlatform);

/** The engine, which fails at its `last` run, and how many of its sessions are open. */
function failing(last: number) {
  const open = new Set<Session>();
  let runs = 0;
  const watched: Runtime = {
    ...runtime,
    async open(...parameters) {
      const session = await runtime.open(...parameters);
      const own: Session = {
        ...session,
        run(...given) {
          if (++runs === last) throw fail(errors.runFailed("engine", "it broke", "Mend it"));
          return session.run(...given);
        },
        close() {
          open.delete(own);
          return session.close();
        },
      };
      open.add(own);
      return own;
    },
  };
  return { runtime: watched, open, runs: () => runs };
}

const labels = tensor(
  "int32",
  [24],
  Int32Array.from({ length: 24 }, (_, i) => i % 8),
);
const data = tensorDataset(net.feeds(24, 7), labels);

/** Everything that opens sessions. */
const work: Readonly<Record<string, (env: Environment) => Promise<unknown>>> = {
  compress: (env) =>
    compress(loaded, env, {
      untrained: true,
      steps: parseRecipe("quantize-int8 > train:steps=2,holdout=0.3 > prune-taps"),
    }),
  distil: (env) =>
    compress(loaded, env, {
      untrained: true,
      steps: parseRecipe("prune-random > train:steps=2,loss=kd,batch=8 > prune-obd:records=4"),
    }),
  survey: (env) =>
    survey(loaded, { ...env, data: null }, { recipes: [[], parseRecipe("store-float16")] }),
  evaluate: (env) => evaluate(loaded, { ...env, data: null }, loaded),
  inspect: (env) => inspect(loaded, env),
  bench: (env) => bench([loaded, loaded], env, { secondsEach: 0.01 }),
};

describe.each(Object.entries(work))("%s", (_, run) => {
  test("closes every session, wherever a run fails", async () => {
    const environment = (own: Runtime): Environment =>
      environmentOf(net, {
        platform: quickPlatform(),
        runtime: own,
        data,
        training: data,
        timingMs: 1,
      });
    const whole = failing(Number.POSITIVE_INFINITY);
    await run(environment(whole.runtime));
    expect(whole.open.size).toBe(0);
    const all = whole.runs();
    const shares = Array.from({ length: 5 }, (_, i) => Math.ceil((all * (i + 1)) / 5));
    const places = new Set([1, 2, 3, ...shares]);
    for (const last of places) {
      const engine = failing(last);
      await run(environment(engine.runtime)).catch(() => {});
      expect(engine.open.size, `after run ${last} of ${all}`).toBe(0);
    }
  });
});
