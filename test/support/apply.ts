/** @file Applies one method to a fixture network as a recipe does, but without the rollback. */
import type { Context } from "../../src/context.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import type { GroupChange, Skip } from "../../src/measure/measurement.ts";
import { type MethodId, methodOf } from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { parseOptions } from "../../src/options.ts";
import { checkpoint, type Environment } from "../../src/recipe/environment.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { createRun } from "../../src/recipe/step-context.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import type { Feeds, Runtime } from "../../src/runtime/runtime.ts";
import { ownTarget } from "../../src/targets/index.ts";
import { trainOptions } from "../../src/train/options.ts";
import { plainChoice } from "../../src/train/state.ts";
import { tensorDataset } from "./dataset.ts";
import { keepSessions } from "./kept-sessions.ts";
import type { Net } from "./nets.ts";

/** The native engine, loaded once for all tests of a worker; it opens equal files once. */
export const runtime: Runtime = keepSessions(await openNodeRuntime());

/**
 * An environment for tests on `net`: 24 records to calibrate on and 24 to train on, one thread,
 * seed 1, no data to measure on. `changes` replace single fields.
 */
export function environmentOf(net: Net, changes: Partial<Environment> = {}): Environment {
  return {
    platform: nodePlatform,
    runtime,
    target: ownTarget((changes.runtime ?? runtime).name, nodePlatform.processor),
    threads: 1,
    seed: 1,
    signal: null,
    data: null,
    calibration: tensorDataset(net.feeds(24, 5)),
    training: tensorDataset(net.feeds(24, 6)),
    teacher: null,
    trainThreads: 1,
    checkpoints: null,
    computeChoice: plainChoice,
    feeds: net.feeds(4),
    onEvent() {},
    ...changes,
  };
}

/** The result of a method. */
export interface Applied {
  readonly model: Model;
  readonly bytes: Uint8Array;
  readonly skipped: readonly Skip[];
  readonly groups: readonly GroupChange[];
  readonly warnings: readonly string[];
  /** Whether the result depends on the seed. */
  readonly drew: boolean;
}

/**
 * Applies method `id` with the options `given` to a clone of `start` and writes the result. The
 * context reports skips, groups and warnings as that of a recipe's step does; it has no clock but `clock`.
 */
export async function apply(
  start: Model,
  id: MethodId,
  given: Readonly<Record<string, unknown>>,
  env: Environment,
  clock: Pick<Context, "time" | "compare" | "timeNodes"> = {},
): Promise<Applied> {
  const method = methodOf(id) as Method;
  const model = cloneModel(start);
  inferModel(model);
  const skipped: Skip[] = [];
  const warnings: string[] = [];
  const groups: GroupChange[] = [];
  let drew = false;
  await method.apply(model, parseOptions(method.options, given, id), {
    random: watched(createRandom(env.seed), () => {
      drew = true;
    }),
    signal: env.signal,
    original: start,
    ...clock,
    target: env.target,
    skip: (node, reason) => skipped.push({ node, method: id, reason }),
    group: (node, before, after, reason) =>
      groups.push({ method: id, node, before, after, reason }),
    warn: (text) => warnings.push(text),
    note() {},
    async progress(done, total) {
      env.onEvent({ type: "progress", what: id, done, total });
      await checkpoint(env, id);
    },
    hasCalibration: env.calibration !== null,
    observe: createObserve(env, () => {}, id),
    run: createRun(env, id),
    read: (path) => env.platform.files.read(path),
    train: (trained, options, hooks = {}) =>
      trainModel(trained, trainOptions.parse(options), hooks, env, { label: id, original: start }),
  });
  rewrite(model, { rules: ["drop-dead"] });
  return { model, bytes: concat(writeModel(model)), skipped, groups, warnings, drew };
}

/** A generator that calls `onDraw` before each number it draws, also in its forks. */
function watched(random: Random, onDraw: () => void): Random {
  const noting =
    <A extends unknown[], R>(draw: (...args: A) => R) =>
    (...args: A): R => {
      onDraw();
      return draw(...args);
    };
  return {
    uint32: noting(random.uint32),
    float: noting(random.float),
    int: noting(random.int),
    shuffle: noting(random.shuffle) as Random["shuffle"],
    normal: noting(random.normal),
    fork: (label) => watched(random.fork(label), onDraw),
  };
}

/** Runs a model in the native engine. */
export async function outputsOf(bytes: Uint8Array, feeds: Feeds): Promise<Record<string, Tensor>> {
  const session = await runtime.open({ bytes });
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}
