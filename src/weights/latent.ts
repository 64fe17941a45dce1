/**
 * @file Latent: a weight or an activation opened for training, as an expression of numbers that learn, and
 * closed again into a form.
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

/** Numbers that exist while training only. */
export interface Theta {
  readonly start: Float32Array;
  readonly shape: Shape;
  /** Factor of the learning rate (default 1); 0: no gradient moves it, but checkpoints have it. */
  readonly rate?: number;
  /** Bounds that hold after every update. */
  readonly min?: number;
  readonly max?: number;
  /** Exact zeros stay zeros (default false). */
  readonly keepsZeros?: boolean;
}

/** An input of the training graph that is no data, made anew for every step: a schedule, noise. */
export interface StepFeed {
  readonly dtype: DType;
  readonly shape: Shape;
  at(step: number, random: Random): Tensor;
}

export interface Latent<P extends string = string> {
  readonly theta: Readonly<Record<P, Theta>>;
  readonly feeds?: Readonly<Record<string, StepFeed>>;
  /**
   * What stands for `x`, the weight or activation that was there, while it learns. Only `theta` and what
   * learns anyway moves; other constants are as fixed as they look.
   */
  build(
    g: Builder,
    theta: Readonly<Record<NoInfer<P>, Value>>,
    x: Value,
    feeds: Readonly<Record<string, Value>>,
  ): Value;
  /** A scalar added to the loss. */
  penalty?(g: Builder, theta: Readonly<Record<NoInfer<P>, Value>>): Value;
  /**
   * What stays after training: a weight in some form, or nodes behind an activation. `x` is what was
   * there, with what else has learned.
   */
  close(
    theta: Readonly<Record<NoInfer<P>, Float32Array>>,
    x: Value,
  ): Weight | ((g: Builder, x: Value) => Value);
}

/** A latent and the value that it stands for. */
export interface Opened {
  /** The layer, for messages and rates. */
  readonly node: Node;
  readonly value: Value;
  /** The nodes that read what stands for the value; all of them where nothing is said. */
  readonly readers?: readonly Node[];
  readonly latent: Latent;
}

/** Keeps the names of the thetas: `build` and `close` see exactly those that are declared. */
export function open<const P extends string>(
  { node, value, readers }: Pick<Opened, "node" | "value" | "readers">,
  latent: Latent<P>,
): Opened {
  return { node, value, latent: latent as unknown as Latent, ...(readers && { readers }) };
}

/** Those that can be opened; the others lie in bodies that may run never or many times, and are skipped. */
export function openable<S extends { readonly node: Node; readonly value: Value }>(
  sites: readonly S[],
  model: Model,
  notes: Skips,
): S[] {
  return sites.filter(({ node, value }) => {
    const isMain = value.graph === model.graph;
    if (!isMain) notes.skip(node.name, "lies inside a loop or a branch");
    return isMain;
  });
}

/**
 * Puts what was learned in the place of what was opened: `theta` by name, as training left it. `of` leads
 * to the twins of the opened values in a copy of the model.
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

/** The same nodes in a copy: those that make the twins of their outputs. */
export function twinReaders(
  readers: readonly Node[] | undefined,
  of: (value: Value) => Value,
): ReadonlySet<Node> | null {
  return readers ? new Set(readers.map(({ output }) => of(output).producer as Node)) : null;
}

/** Whoever reads `value`, or the chosen of them, reads `by` instead; not the nodes that compute `by`. */
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
