/** @file Runs a recipe step by step; what breaks the model or makes the file larger is rolled back. */

import { TersorError } from "../errors.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { verify } from "../ir/verify.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { inferModel } from "../ops/infer.ts";
import { rewrite } from "../rewrite/index.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { checkNeeds } from "./needs.ts";
import { addNotes, createContext, createNotes, type Notes } from "./step-context.ts";
import { formatRecipe, isTraining, type Step } from "./steps.ts";
import { createSweep } from "./sweep.ts";

/** What buys speed may cost so much of the original file. */
const ROOM = 1.01;

type Told = { readonly [K in keyof Notes]: Readonly<Notes[K]> };

/** A recipe's product, with what the steps that were kept have told. */
export interface Outcome extends Told {
  readonly model: Model;
  /** The file's bytes. */
  readonly bytes: Uint8Array;
  /** False for a step that was rolled back; the warnings say why. */
  readonly kept: readonly boolean[];
  readonly seconds: number;
}

export interface ApplyOptions {
  /**
   * Default true: rewrites losslessly what `simplify` kept for training, once the last step that
   * trains is done. False: nothing goes but what the steps themselves leave unread.
   */
  readonly simplify?: boolean;
}

/**
 * `start` is left as it is. Throws TersorError "needs-data", "needs-training" or "needs-labels" before
 * any work, "aborted", and whatever the options raise.
 */
export async function applyRecipe(
  start: Model,
  steps: readonly Step[],
  env: Environment,
  { simplify = true }: ApplyOptions = {},
): Promise<Outcome> {
  checkNeeds(steps, env);
  const began = env.platform.wallMs();
  const notes = createNotes();
  const kept: boolean[] = [];
  let model = start;
  let bytes = concat(writeModel(model));
  const whole = bytes.byteLength;
  let original: Awaited<ReturnType<typeof outputsOf>> | null = null;
  /** Takes a candidate in place of the model; or says why not. */
  const take = async (candidate: Model, limit: number): Promise<string | null> => {
    const written = concat(writeModel(candidate));
    const why = refusal(candidate, written.byteLength, bytes.byteLength, limit);
    if (why !== null) return why;
    original ??= await outputsOf(bytes, env);
    const moved = difference(original, await outputsOf(written, env));
    if (moved === null) [model, bytes] = [candidate, written];
    return moved;
  };
  const lastTraining = simplify ? steps.findLastIndex(isTraining) : -1;
  for (const [i, step] of steps.entries()) {
    await checkpoint(env, step.id);
    const candidate = cloneModel(model);
    inferModel(candidate);
    const sweep = createSweep(candidate);
    const own = createNotes();
    await step.method.apply(candidate, step.options, createContext(step, i, start, env, own));
    if (!simplify) sweep();
    else rewrite(candidate, i === lastTraining ? {} : { rules: ["drop-dead", "share-constants"] });
    const before = bytes.byteLength;
    const most = step.method.quickens ? Math.max(ROOM * whole, before) : before;
    // A layer may gain a bias in training: hours of it are not lost for that.
    const why = await take(candidate, isTraining(step) ? Number.POSITIVE_INFINITY : most);
    kept.push(why === null);
    if (why === null) addNotes(notes, own);
    else {
      notes.warnings.push(`${formatRecipe([step])} was rolled back: ${why}`);
      // What waited for this step need not wait any longer.
      if (i === lastTraining) await take(simplified(model), before);
    }
  }
  const seconds = (env.platform.wallMs() - began) / 1000;
  return { ...notes, model, bytes, kept, seconds };
}

function simplified(model: Model): Model {
  const clone = cloneModel(model);
  inferModel(clone);
  rewrite(clone);
  return clone;
}

function refusal(model: Model, bytes: number, before: number, limit: number): string | null {
  const [problem] = verify(model);
  if (problem) return problem;
  return bytes > limit ? `it made the file larger (${before} -> ${bytes} bytes)` : null;
}

/** Outputs of a file; the engine's words where it does not open or run. */
async function outputsOf(
  bytes: Uint8Array,
  env: Environment,
): Promise<Record<string, Tensor> | string> {
  try {
    const session = await env.runtime.open({ bytes }, { threads: env.threads });
    try {
      return await session.run(env.feeds);
    } finally {
      await session.close();
    }
  } catch (cause) {
    if (cause instanceof TersorError) return cause.what;
    throw cause;
  }
}

/** Null when the outputs have the original's names and shapes, and are finite where those are. */
function difference(
  original: Record<string, Tensor> | string,
  outputs: Record<string, Tensor> | string,
): string | null {
  if (typeof outputs === "string") return outputs;
  if (typeof original === "string") return null;
  for (const [name, expected] of Object.entries(original)) {
    const got = outputs[name];
    if (!got) return `its output ${name} is gone`;
    if (got.dtype !== expected.dtype || got.shape.join() !== expected.shape.join()) {
      return `its output ${name} is ${describe(got)} instead of ${describe(expected)}`;
    }
    if (!hasOnlyFinite(got) && hasOnlyFinite(expected)) return `its output ${name} is not finite`;
  }
  return null;
}

function describe({ dtype, shape }: Tensor): string {
  return `${dtype}[${shape}]`;
}

function hasOnlyFinite(value: Tensor): boolean {
  return !value.dtype.includes("float") || value.floats().every(Number.isFinite);
}
