/**
 * @file Latent: a weight or an activation opened for training, and closed into a form afterwards.
 *
 * While it is open, an expression of numbers that learn stands for it.
 */
import type { DType } from "../ir/dtype.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Random } from "../numeric/random.ts";
import { type Builder, build } from "../ops/builder.ts";
import type { Shape } from "./form.ts";
import { type Skips, storeWeight } from "./sites.ts";
import type { Weight } from "./weight.ts";

/** Numbers that exist during training only. Weight decay does not touch them. */
export interface Theta {
  readonly start: Float32Array;
  readonly shape: Shape;
  /**
   * Factor of the learning rate (default 1). With 0 no gradient changes them, but
   * checkpoints hold them.
   */
  readonly rate?: number;
  /** Bounds that hold after every update. */
  readonly min?: number;
  readonly max?: number;
  /** Whether exact zeros stay zero (default false). */
  readonly keepsZeros?: boolean;
}

/**
 * An input of the training graph that is no data and is made anew for every step: a schedule,
 * noise.
 */
export interface StepFeed {
  readonly dtype: DType;
  readonly shape: Shape;
  at(step: number, random: Random): Tensor;
}

/** How a weight or an activation learns: `build` opens it, `close` gives what remains of it. */
export interface Latent<P extends string = string> {
  readonly theta: Readonly<Record<P, Theta>>;
  readonly feeds?: Readonly<Record<string, StepFeed>>;
  /**
   * The expression that replaces `x`, the weight or activation, during training. Only `theta` and
   * what learns anyway changes; other constants inside the expression are fixed.
   */
  build(
    g: Builder,
    theta: Readonly<Record<NoInfer<P>, Value>>,
    x: Value,
    feeds: Readonly<Record<string, Value>>,
  ): Value;
  /** A scalar added to the loss. */
  penalty?(
    g: Builder,
    theta: Readonly<Record<NoInfer<P>, Value>>,
    feeds: Readonly<Record<string, Value>>,
  ): Value;
  /**
   * What replaces the expression after training: a weight in some form, or nodes behind an
   * activation. `x` is the opened value with everything else that has learned.
   */
  close(
    theta: Readonly<Record<NoInfer<P>, Float32Array>>,
    x: Value,
  ): Weight | ((g: Builder, x: Value) => Value);
}

/** A latent and the value that it stands for. */
export interface Opened {
  /** The layer, for messages and learning rates. */
  readonly node: Node;
  readonly value: Value;
  /** The nodes that read the expression; all readers of the value if left out. */
  readonly readers?: readonly Node[];
  readonly latent: Latent;
  /**
   * For a weight: what its gradient sees in the place of what its layer reads. Outputs and all other
   * gradients are as they are.
   */
  readonly seenAs?: (g: Builder, x: Value) => Value;
}

/** Infers the names of the thetas, so that `build` and `close` see exactly the declared ones. */
export function open<const P extends string>(
  { node, value, readers }: Pick<Opened, "node" | "value" | "readers">,
  latent: Latent<P>,
): Opened {
  return { node, value, latent: latent as unknown as Latent, ...(readers && { readers }) };
}

/**
 * The sites that can be opened. Others are skipped with the reason: they lie inside a loop or a branch,
 * which may run many times or never, or nothing but a choice follows from them, such as the places of
 * the largest scores, which has no gradient.
 */
export function openable<S extends { readonly node: Node; readonly value: Value }>(
  sites: readonly S[],
  model: Model,
  notes: Skips,
): S[] {
  return sites.filter(({ node, value }) => {
    const why =
      value.graph !== model.graph
        ? "lies inside a loop or a branch"
        : leadsToNumbers(node)
          ? null
          : "decides only which values are taken, through which no gradient passes";
    if (why) notes.skip(node.name, why);
    return !why;
  });
}

/** Whether the node leads to an output of the model, or to a branch, through real numbers alone. */
function leadsToNumbers(start: Node): boolean {
  const seen = new Set<Node>([start]);
  // The set grows while it is walked.
  for (const node of seen) {
    for (const output of node.outputs) {
      if (output.isOutput) return true;
      if (output.dtype && !/float/.test(output.dtype)) continue;
      for (const next of output.consumers) {
        if (next.graph !== start.graph) return true;
        seen.add(next);
      }
    }
  }
  return false;
}

/**
 * Replaces an opened value by what was learned; `theta` holds the final numbers by name. `of` maps
 * the opened values to a copy of the model, if that is to be changed.
 */
export function closeLatent(
  { node, value: own, readers, latent }: Opened,
  theta: Readonly<Record<string, Float32Array>>,
  of: (value: Value) => Value = (value) => value,
): void {
  const value = of(own);
  const closed = latent.close(theta, value);
  if (typeof closed !== "function") {
    storeWeight({ value, node }, closed);
    return;
  }
  const by = closed(build(value.graph, node.name), value);
  replaceReaders(value, by, twinReaders(readers, of));
}

/** The same nodes in a copy of the model; null for all readers. */
export function twinReaders(
  readers: readonly Node[] | undefined,
  of: (value: Value) => Value,
): ReadonlySet<Node> | null {
  return readers ? new Set(readers.map(({ output }) => of(output).producer as Node)) : null;
}

/**
 * Makes the readers of `value`, or only those in `readers`, read `by` instead. Nodes that compute
 * `by` from `value` keep reading it.
 */
export function replaceReaders(
  value: Value,
  by: Value,
  readers: ReadonlySet<Node> | null = null,
): void {
  if (by === value) return;
  const own = new Set<Node>();
  const pending = [by.producer];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (!node || own.has(node) || node.outputs.includes(value)) continue;
    own.add(node);
    for (const input of node.inputs) if (input && input !== value) pending.push(input.producer);
  }
  for (const { user, index } of [...value.uses]) {
    if (readers && !("setInput" in user && readers.has(user))) continue;
    if ("setOutput" in user) {
      [value.name, by.name] = [by.name, value.name];
      user.setOutput(index, by);
    } else if (!own.has(user)) user.setInput(index, by);
  }
}
