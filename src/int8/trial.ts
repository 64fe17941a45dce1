/** @file A copy of a model with some layers on integers, to be tried beside others. */
import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { inferModel } from "../ops/infer.ts";
import type { ChannelMeans } from "./bias-correction.ts";
import { computeOnIntegers, roundingParams } from "./compute.ts";
import { type Choice, leaveOut, planInt8, type Rounding } from "./plan.ts";
import type { WeightRounding } from "./weights.ts";

/** How the numbers of a trial are rounded. All nodes and values are those of the model itself. */
export interface TrialRounding {
  /** Without levels for a value, nodes that read or give it stay in float. */
  readonly paramsOf: (value: Value, rounding: Rounding) => QuantParams | undefined;
  readonly means: ReadonlyMap<Node, ChannelMeans>;
  readonly weights: WeightRounding;
}

/** A copy of `model` with these layers on integers. It reports nothing. */
export function trialOf(
  model: Model,
  layers: ReadonlySet<Node>,
  choice: Choice,
  context: Context,
  { paramsOf, means, weights }: TrialRounding,
): Model {
  const twins = new Map<Value, Value>();
  const copy: Model = { ...model, graph: cloneGraph(model.graph, twins) };
  inferModel(copy);
  const originals = new Map([...twins].map(([value, twin]) => [twin, value]));
  const originalOf = (twin: Node): Node => originals.get(twin.output)?.producer as Node;
  const own = (value: Value, rounding: Rounding): QuantParams | undefined =>
    paramsOf(originals.get(value) as Value, rounding);
  const quiet: Context = { ...context, skip() {}, warn() {} };
  const whole = planInt8(
    copy,
    { ...choice, computes: (node) => layers.has(originalOf(node)) },
    quiet,
  );
  const unknown = [...whole.values].filter(([value, rounding]) => !own(value, rounding));
  const plan = leaveOut(whole, new Set(unknown.map(([value]) => value)), quiet);
  const ownMeans = new Map(
    plan.layers.flatMap(({ node }) => {
      const mean = means.get(originalOf(node));
      return mean ? [[node, mean] as const] : [];
    }),
  );
  const reducesRange = (node: Node): boolean => weights.reducesRange(originalOf(node));
  const rounding = { ...weights, reducesRange };
  computeOnIntegers(plan, roundingParams(plan, own), ownMeans, rounding, quiet);
  return copy;
}
