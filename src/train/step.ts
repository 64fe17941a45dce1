/** @file StepGraph: one graph from a batch and all parameters to the loss and its gradient. */
import type { DType } from "../ir/dtype.ts";
import type { Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { dependencies } from "../ir/sort.ts";
import { tensor } from "../ir/tensor.ts";
import { type Builder, build } from "../ops/builder.ts";
import type { Forms } from "../ops/grad.ts";
import { inferModel, inferNode } from "../ops/infer.ts";
import { rewrite } from "../rewrite/index.ts";
import { type Latent, type Opened, replaceReaders, twinReaders } from "../weights/latent.ts";
import type { Learnable } from "../weights/learnable.ts";
import { backward } from "./backward.ts";
import { toTrainingMode } from "./batch-norm.ts";
import { hoistConstants } from "./branch.ts";
import { fastGathers } from "./fast-gather.ts";
import { laidOut, ofConstant, type Parameter, type Unplaced } from "./parameters.ts";

/** Names of the step graph's inputs besides the model's own, and of its outputs. */
export const ports = {
  parameters: "tersor_parameters",
  label: "tersor_label",
  teacher: "tersor_teacher",
  loss: "tersor_loss",
  gradient: "tersor_gradient",
  statistics: "tersor_statistics",
} as const;

/** A tensor that is fed with every batch. */
export interface PortSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface StepSpec {
  /** The input shapes of one chunk of a batch, by name; the graph is made for these. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** More inputs: the label, the teacher's output, numbers that change from step to step. */
  readonly feeds: Readonly<Record<string, PortSpec>>;
  /** The constants that learn. */
  readonly learns: readonly Learnable[];
  /** Weights and activations opened for training, which learn through thetas of their own. */
  readonly latents?: readonly Opened[];
  /** Which normalizations use the statistics of the batch (default: all). */
  readonly isTrained?: (node: Node) => boolean;
  /** Whether normalizations use the statistics of the batch at all (default true). */
  readonly batchStatistics?: boolean;
  /** How convolutions are differentiated (tune.ts). */
  readonly forms?: Forms;
  /** The loss, a scalar, from the student's values and the inputs named in `feeds`. */
  loss(g: Builder, student: Student, feeds: Readonly<Record<string, Value>>): Value;
}

/** The copy of the model that learns. */
export interface Student {
  readonly outputs: readonly Value[];
  /**
   * The copy of one of the model's values; for an opened value the expression that stands for it.
   */
  of(value: Value): Value;
}

/** A normalization whose running statistics follow the batches; the values are the model's own. */
export interface RunningStatistics {
  readonly mean: Value;
  readonly variance: Value;
  readonly momentum: number;
  /** Elements of one channel in a chunk of the size that the graph is made for. */
  readonly count: number;
  readonly channels: number;
}

export interface StepGraph {
  /**
   * Inputs: the model's own, `ports.parameters` [P] float32, `feeds`. Outputs: loss, gradient [P]
   * and, with normalizations, the batch statistics.
   */
  readonly model: Model;
  readonly parameters: readonly Parameter[];
  /** The order of the batch statistics: mean, then variance, layer by layer. */
  readonly statistics: readonly RunningStatistics[];
}

/**
 * The step graph of a model, which is left as it is. Parameters that the loss does not depend on
 * are left out; without any there is no gradient output. Throws TersorError "no-gradient" if an
 * operator between a parameter and the loss has no rule.
 */
export function stepOf(model: Model, spec: StepSpec): StepGraph {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  const work: Model = { ...model, domains: new Map(model.domains), graph };
  const shapes = new Map(Object.entries(spec.shapes));
  for (const input of graph.inputs) input.shape = shapes.get(input.name) ?? input.shape;
  const feeds: Record<string, Value> = {};
  for (const [name, { dtype, shape }] of Object.entries(spec.feeds)) {
    feeds[name] = graph.addInput(name, dtype, shape);
  }
  const { isTrained = () => true, batchStatistics = true } = spec;
  const own = [...model.graph.nodes];
  const trained = new Set([...graph.nodes].filter((_, i) => isTrained(own[i])));
  const opened = openAll(spec.latents ?? [], twins, feeds);
  const norms = batchStatistics ? toTrainingMode(work, (node) => trained.has(node)) : [];
  const hoisted = hoistConstants(work);
  fastGathers(work);
  inferModel(work);
  const twinOf = (value: Value): Value => {
    const twin = twins.get(value) ?? value;
    return hoisted.get(twin) ?? twin;
  };
  const expressions = new Map(opened.map(({ value, expression }) => [value, expression]));
  const of = (value: Value): Value => expressions.get(value) ?? twinOf(value);

  const g = build(graph, "train", inferNode);
  const student: Student = { outputs: [...graph.outputs], of };
  const penalties = opened.flatMap(({ penalty }) => penalty?.(g) ?? []);
  const loss = penalties.reduce((sum, x) => g.Add(sum, x), spec.loss(g, student, feeds));
  const reached = dependencies([loss]);
  const thetas = opened.flatMap(({ thetas }) => thetas);
  const places = new Map<Unplaced, Value>([
    ...thetas.map(({ parameter, place }) => [parameter, hoisted.get(place) ?? place] as const),
    ...spec.learns.map((learns) => [ofConstant(learns), twinOf(learns.value)] as const),
  ]);
  const found = [...places].filter(([, place]) => reached.has(place));
  const parameters = laidOut(found.map(([parameter]) => parameter));
  const empty = { model: work, parameters, statistics: [] };
  if (parameters.length === 0) return empty;
  const pieces = spread(
    g,
    parameters,
    found.map(([, place]) => place),
  );
  const standIns = new Map(
    opened.flatMap(({ expression, seenAs }) => (seenAs ? [[expression, seenAs] as const] : [])),
  );
  const { forms } = spec;
  const gradients = backward(work, loss, pieces, { standIns, ...(forms && { forms }) });
  const flat = pieces.map((piece) =>
    g.Reshape(gradients.get(piece) as Value, g.ints([-1], "shape")),
  );
  const gradient = join(g, flat);
  const statistics = join(
    g,
    norms.flatMap(({ mean, variance }) => [mean, variance]),
  );
  const outputs = [named(g, loss, ports.loss), named(g, gradient as Value, ports.gradient)];
  if (statistics) outputs.push(named(g, statistics, ports.statistics));
  graph.setOutputs(outputs);
  rewrite(work, { rules: ["drop-dead"] });
  const origin = new Map([...twins].map(([own, twin]) => [twin, own]));
  return {
    model: work,
    parameters,
    statistics: norms.map(({ runningMean, runningVariance, momentum, count }) => {
      const mean = origin.get(runningMean) as Value;
      const variance = origin.get(runningVariance) as Value;
      const channels = mean.tensor?.size ?? 0;
      // Sizes that are not known count as many: then the biased and the unbiased variance agree.
      return { mean, variance, momentum, count: count ?? 2 ** 31, channels };
    }),
  };
}

interface OpenedInStep extends Pick<Opened, "seenAs"> {
  readonly value: Value;
  readonly expression: Value;
  readonly thetas: readonly { readonly parameter: Unplaced; readonly place: Value }[];
  readonly penalty?: (g: Builder) => Value;
}

/** Replaces every opened value by its latent's expression, over constants that will learn. */
function openAll(
  latents: readonly Opened[],
  twins: ReadonlyMap<Value, Value>,
  feeds: Readonly<Record<string, Value>>,
): OpenedInStep[] {
  return latents.map(({ node, value, readers, latent, seenAs }, i) => {
    const twin = twins.get(value) as Value;
    const g = build(twin.graph, `latent${i}`);
    const places: Record<string, Value> = {};
    const thetas = Object.entries(latent.theta).map(([name, theta]) => {
      const place = g.constant(tensor("float32", theta.shape, theta.start), { name });
      places[name] = place;
      return { parameter: ofTheta(latent, name, node), place };
    });
    const names = Object.keys(latent.feeds ?? {});
    const own = Object.fromEntries(names.map((name) => [name, feeds[feedName(i, name)]]));
    const expression = latent.build(g, places, twin, own);
    expression.dtype ??= twin.dtype;
    expression.shape ??= twin.shape;
    replaceReaders(
      twin,
      expression,
      twinReaders(readers, (own) => twins.get(own) ?? own),
    );
    const { penalty } = latent;
    return {
      value,
      expression,
      thetas,
      ...(seenAs && { seenAs }),
      ...(penalty && { penalty: (at: Builder) => penalty(at, places, own) }),
    };
  });
}

/** The graph input for a feed of a latent. */
export const feedName = (latent: number, name: string): string => `tersor_${latent}_${name}`;

function ofTheta(latent: Latent, name: string, node: Node): Unplaced {
  const { start, shape, rate = 1, keepsZeros = false, ...bounds } = latent.theta[name];
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = bounds;
  const own = { start, shape, rate, keepsZeros, min, max };
  return { value: null, latent, name, node, kind: "theta", ...own };
}

/** Splits the vector of parameters into pieces that replace the constants. */
function spread(g: Builder, parameters: readonly Parameter[], places: readonly Value[]): Value[] {
  const sizes = parameters.map(({ size }) => size);
  const total = sizes.reduce((a, b) => a + b, 0);
  const input = g.graph.addInput(ports.parameters, "float32", [total]);
  const cuts =
    sizes.length === 1
      ? [input]
      : g.many("Split", [input, g.ints(sizes, "sizes")], {
          outputs: sizes.length,
          attributes: { axis: 0 },
        });
  return parameters.map(({ shape }, i) => {
    const piece = g.Reshape(cuts[i], g.ints(shape, "shape"));
    g.graph.replace(places[i], piece);
    g.graph.removeConstant(places[i]);
    return piece;
  });
}

function join(g: Builder, parts: readonly Value[]): Value | null {
  return parts.length > 1 ? g.Concat(...parts, { axis: 0 }) : (parts[0] ?? null);
}

function named(g: Builder, value: Value, name: string): Value {
  const output = g.Identity(value);
  output.name = name;
  return output;
}
