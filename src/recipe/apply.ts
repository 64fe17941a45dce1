/** @file Runs a recipe step by step; a step that breaks the model or grows the file is undone. */

import { TersorError } from "../errors.ts";
import type { Dim } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { retyped } from "../ir/retyped.ts";
import type { Tensor } from "../ir/tensor.ts";
import { verify } from "../ir/verify.ts";
import { bytesOf, concat, type Written, writeFile } from "../onnx/write.ts";
import { inferModel } from "../ops/infer.ts";
import { rewrite } from "../rewrite/index.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { checkNeeds } from "./needs.ts";
import { type Attempt, isRescued, rescue, type Try } from "./rescue.ts";
import { createSpill } from "./spill.ts";
import { addNotes, createContext, createNotes, type Notes } from "./step-context.ts";
import { formatRecipe, isTraining, keepsNorms, type Step } from "./steps.ts";
import { createSweep } from "./sweep.ts";

/** A step that is meant to gain speed may make the file larger than the original by this factor. */
const ROOM = 1.01;

type Told = { readonly [K in keyof Notes]: Readonly<Notes[K]> };

/** The product of a recipe, together with the notes of the steps that were kept. */
export interface Outcome extends Told {
  readonly model: Model;
  /** The model as an ONNX file, with external data where it is too large for one. */
  readonly written: Written;
  /** The bytes of that file, made when they are asked for. */
  readonly bytes: Uint8Array;
  /** One entry per step; false for a step that was rolled back. `warnings` holds the reason. */
  readonly kept: readonly boolean[];
  /** Wall time of all steps, trial runs included. */
  readonly seconds: number;
}

export interface ApplyOptions {
  /**
   * True (the default): after the last step that needs BatchNormalization in the model, the
   * lossless rules that `simplify` held back for it are applied. False: after each step only the
   * nodes and constants that this step left unread are removed.
   */
  readonly simplify?: boolean;
  /**
   * Keep steps that make the file larger (default false), because what they do is to be measured
   * rather than shipped.
   */
  readonly anySize?: boolean;
}

/**
 * Applies `steps` in order, each to a clone of the current model. After each step the clone is
 * verified, written, opened and run on `env.feeds`; it becomes the current model only if the
 * outputs keep their names, types and shapes (but those that the step declares as retyped), stay finite,
 * and the file is within its size limit. (Where `env.unrun`, only the graph and the size are checked.)
 * A step in which the engine fails is tried again without the engine's optimizations, then rolled back.
 * `start` is not changed. Throws TersorError "needs-data", "needs-training" or "needs-labels"
 * before any work, later "aborted" and whatever error a method raises.
 */
export async function applyRecipe(
  start: Model,
  steps: readonly Step[],
  env: Environment,
  { simplify = true, anySize = false }: ApplyOptions = {},
): Promise<Outcome> {
  checkNeeds(steps, env);
  const began = env.platform.wallMs();
  const notes = createNotes();
  const kept: boolean[] = [];
  let model = start;
  let written = writeFile(model);
  const whole = bytesOf(written);
  let original: Awaited<ReturnType<typeof outputsOf>> | null = null;
  /** Makes `candidate` the current model and returns null, or returns the reason against it. */
  const take = async (candidate: Model, limit: number): Promise<string | null> => {
    const made = writeFile(candidate);
    const why = refusal(candidate, bytesOf(made), bytesOf(written), limit);
    if (why !== null) return why;
    if (!env.unrun) original ??= await outputsOf(written, env);
    const outputs = original && (await outputsOf(made, env));
    const moved = original && outputs && difference(original, outputs, start, candidate);
    if (moved === null) [model, written] = [candidate, made];
    return moved;
  };
  /** Applies step `i`, or the same method with other options, to a copy of `base`. */
  const attempt = async (
    base: Model,
    i: number,
    step: Step,
    own: Environment,
  ): Promise<Attempt> => {
    const candidate = cloneModel(base);
    inferModel(candidate);
    const sweep = createSweep(candidate);
    const told = createNotes();
    const context = createContext(step, i, start, own, told);
    const spill = createSpill(candidate, env.platform);
    const progress: typeof context.progress = (done, total) => {
      spill();
      return context.progress(done, total);
    };
    await step.method.apply(candidate, step.options, { ...context, progress });
    spill();
    if (!simplify) sweep();
    else rewrite(candidate, i === lastWithNorms ? {} : { rules: ["drop-dead", "share-constants"] });
    return { model: candidate, notes: told };
  };
  /** The same; where the engine fails, which has faults, once more without its optimizations. */
  const attemptTwice: typeof attempt = async (base, i, step, own) => {
    try {
      return await attempt(base, i, step, own);
    } catch (cause) {
      if (!isOfEngine(cause)) throw cause;
      return attempt(base, i, step, { ...own, runtime: plainRuntime(own.runtime) });
    }
  };
  const lastWithNorms = simplify ? steps.findLastIndex(keepsNorms) : -1;
  for (const [i, step] of steps.entries()) {
    await checkpoint(env, step.id);
    const before = bytesOf(written);
    const most = step.method.quickens ? Math.max(ROOM * whole, before) : before;
    // Training may add biases, which enlarge the file, and a long run is not thrown away for that.
    // What prepares a later step gains nothing by itself. Such steps have no size limit.
    const { prepares, grows } = step.method;
    const isFree = anySize || isTraining(step) || grows || prepares !== undefined;
    const limit = isFree ? Number.POSITIVE_INFINITY : most;
    const base = { model, written };
    let [made, why] = await attemptTwice(base.model, i, step, env).then(
      async (made) => [made, await take(made.model, limit)] as const,
      (cause: unknown) => [null, reasonOf(cause)] as const,
    );
    if (made && why === null && isRescued(steps, i, env)) {
      const other: Try = (step, env) => attemptTwice(base.model, i, step, env);
      const old = { model: base.model, bytes: concat(base.written) };
      const better = await rescue(old, { ...made, bytes: concat(written) }, step, other, env);
      if (better && (await take(better.model, limit)) === null) made = better;
    }
    kept.push(why === null);
    if (made && why === null) addNotes(notes, made.notes);
    else {
      notes.warnings.push(`${formatRecipe([step])} was rolled back: ${why}`);
      // The lossless rules were held back for this step. It is gone, so they are applied now.
      if (i === lastWithNorms) await take(simplified(model), before);
    }
  }
  if (notes.usedData) notes.warnings.push(...(env.calibration?.warnings ?? []));
  if (notes.training.length > 0) notes.warnings.push(...(env.training?.warnings ?? []));
  const seconds = (env.platform.wallMs() - began) / 1000;
  const file = written;
  return {
    ...{ ...notes, model, written, kept, seconds },
    get bytes() {
      return concat(file);
    },
  };
}

/** Whether an error is one of the engine: it refuses a model, or fails in a run. */
const isOfEngine = (cause: unknown): cause is TersorError =>
  cause instanceof TersorError && ["cannot-open", "run-failed"].includes(cause.code);

/** Why the engine failed in a step; throws other errors. */
function reasonOf(cause: unknown): string {
  if (isOfEngine(cause)) return cause.what;
  throw cause;
}

/** The runtime, which runs graphs as they are written. */
const plainRuntime = (runtime: Environment["runtime"]): Environment["runtime"] => ({
  ...runtime,
  open: (source, options) => runtime.open(source, { ...options, optimize: "disabled" }),
});

/** A copy of the model after all lossless rules. */
function simplified(model: Model): Model {
  const clone = cloneModel(model);
  inferModel(clone);
  rewrite(clone);
  return clone;
}

/** The reason why a candidate is not even run: an invalid graph, or more than `limit` bytes. */
function refusal(model: Model, bytes: number, before: number, limit: number): string | null {
  const [problem] = verify(model);
  if (problem) return problem;
  return bytes > limit ? `it made the file larger (${before} -> ${bytes} bytes)` : null;
}

/** Outputs of a file for `env.feeds`, or the engine's error text if it cannot be opened or run. */
async function outputsOf(
  file: Written,
  env: Environment,
): Promise<Record<string, Tensor> | string> {
  try {
    const session = await env.runtime.open({ bytes: concat(file) }, { threads: env.threads });
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

/**
 * The first way in which the outputs of a candidate are unusable: a name, type or shape that is not
 * the original's, or a value that is not finite where the original's are. Null if there is none. Sizes of
 * axes that are computed may differ; an output that a step declares as `retyped` has the type and the
 * last size that the candidate's graph says.
 */
function difference(
  original: Record<string, Tensor> | string,
  outputs: Record<string, Tensor> | string,
  start: Model,
  candidate: Model,
): string | null {
  if (typeof outputs === "string") return outputs;
  if (typeof original === "string") return null;
  const open = openSizes(start);
  const changed = retyped(candidate);
  for (const [name, expected] of Object.entries(original)) {
    const got = outputs[name];
    if (!got) return `its output ${name} is gone`;
    const declared = changed.has(name)
      ? candidate.graph.outputs.find((o) => o.name === name)
      : null;
    const shape = declared ? withLast(expected.shape, declared.shape?.at(-1)) : expected.shape;
    const dtype = declared?.dtype ?? expected.dtype;
    const isAlike =
      got.dtype === dtype &&
      got.shape.length === shape.length &&
      got.shape.every((size, i) => size === shape[i] || open.has(`${name}.${i}`));
    if (!isAlike) {
      return `its output ${name} is ${describe(got)} instead of ${describe({ dtype, shape })}`;
    }
    if (!hasOnlyFinite(got) && hasOnlyFinite(expected)) return `its output ${name} is not finite`;
  }
  return null;
}

/**
 * The axes of outputs whose size depends on the values that are computed, such as the number of
 * detections: it is open, and has no name that an input's axis has as well. "y.1" is axis 1 of y.
 */
function openSizes({ graph }: Model): ReadonlySet<string> {
  const named = new Set(graph.inputs.flatMap(({ shape }) => shape ?? []));
  return new Set(
    graph.outputs.flatMap(({ name, shape }) =>
      (shape ?? []).flatMap((dim, axis) =>
        typeof dim === "number" || (dim !== null && named.has(dim)) ? [] : [`${name}.${axis}`],
      ),
    ),
  );
}

/** A shape with another last size, if that is a number. */
const withLast = (shape: readonly number[], last: Dim | undefined): readonly number[] =>
  typeof last === "number" ? [...shape.slice(0, -1), last] : shape;

function describe({ dtype, shape }: Pick<Tensor, "dtype" | "shape">): string {
  return `${dtype}[${shape}]`;
}

function hasOnlyFinite(value: Tensor): boolean {
  return !value.dtype.includes("float") || value.floats().every(Number.isFinite);
}
