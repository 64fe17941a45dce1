/** @file Clips whose upper bound is hardly ever felt become Relus, which kernels apply for nothing. */
import { z } from "zod";
import { errors, fail } from "../errors.ts";
import type { Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { constantValue } from "../ops/constant.ts";
import { weightsOf } from "../ops/weights.ts";
import { distance, outputsOf } from "./felt.ts";
import { type Context, defineMethod, type Observe } from "./method.ts";
import { select, siteOptions } from "./sites.ts";

export const openClips = defineMethod({
  title: "opening clips",
  family: "structured",
  cite: "Nagel et al. 2019, arXiv 1906.04721, table 1 (ReLU6 replaced by ReLU)",
  summary:
    "Turns Clip(0, 6) into Relu where outputs hardly feel it: convolutions apply a Relu as they go, a Clip afterwards.",
  needs: ["calibration"],
  options: z.object({
    tolerance: z
      .number()
      .min(0)
      .max(1)
      .default(0.01)
      .meta({
        description: "How far the outputs may move, |y' - y|^2 / |y|^2; 1 opens every clip.",
        search: [0.003, 0.01, 0.05],
      }),
    records: z.int().min(1).default(64).meta({
      description: "Calibration records to judge by, at most.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: { tolerance: 0 },
  async apply(model, { tolerance, records, ...selection }, context) {
    const chosen = select(
      weightsOf(model).map(({ node }) => node),
      selection,
    );
    const bounds = boundsOf(model, chosen);
    await context.progress(0, bounds.length);
    if (bounds.length === 0 || tolerance === 0) return;
    if (!context.observe) throw fail(errors.needsData("open-clips"));
    const gauge = await createGauge(model, records, context.observe);
    if (tolerance === 1) {
      const moved = await gauge(bounds);
      openAll(bounds, bounds.length, moved, context);
      return;
    }
    const costs = new Map<Bound, number>();
    for (const [i, bound] of bounds.entries()) {
      costs.set(bound, await gauge([bound]));
      await context.progress(i + 1, bounds.length);
    }
    const cost = (bound: Bound): number => costs.get(bound) ?? 0;
    // What a Clip takes goes by the elements it looks at.
    const order = bounds.toSorted((a, b) => cost(a) / a.size - cost(b) / b.size);
    const { count, moved } = await longest(order, gauge, tolerance);
    for (const bound of order.slice(count)) {
      const why = `without it alone the outputs move by ${cost(bound).toPrecision(2)}`;
      context.skip(bound.layer.name, `keeps the upper bound of what it gives: ${why}`);
    }
    if (count > 0) openAll(order.slice(0, count), bounds.length, moved, context);
  },
});

/** The value that a Clip gives, and the layer that it bounds. */
interface Bound {
  readonly output: Value;
  readonly layer: Node;
  /** Elements, of what is known. */
  readonly size: number;
}

type Gauge = (opened: readonly Bound[]) => Promise<number>;

/** How far the outputs are from those of the model once these are open. */
async function createGauge(model: Model, records: number, observe: Observe): Promise<Gauge> {
  const expected = await outputsOf(model, records, observe);
  return async (opened) => {
    const twins = new Map<Value, Value>();
    const trial = { ...model, graph: cloneGraph(model.graph, twins) };
    for (const { output } of opened) open(twins.get(output) as Value);
    return distance(expected, await outputsOf(trial, records, observe));
  };
}

/** How many may be open together, and what that does: the errors of single ones add up, or worse. */
async function longest(
  order: readonly Bound[],
  gauge: Gauge,
  tolerance: number,
): Promise<{ readonly count: number; readonly moved: number }> {
  let best = { count: 0, moved: 0 };
  let tooMany = order.length + 1;
  while (tooMany - best.count > 1) {
    const count = (best.count + tooMany) >> 1;
    const moved = await gauge(order.slice(0, count));
    if (moved <= tolerance) best = { count, moved };
    else tooMany = count;
  }
  return best;
}

/** Clips to [0, something] in order of execution, of chosen layers. */
function boundsOf(model: Model, chosen: ReadonlySet<Node>): Bound[] {
  return model.graph.sorted().flatMap((node) => {
    if (node.op !== "Clip" || node.domain !== "") return [];
    const [, least, most] = node.inputs.map((input) => input && constantValue(input));
    const layer = layerBefore(node);
    const fits = least?.numbers()[0] === 0 && most && layer && chosen.has(layer);
    if (!fits) return [];
    const known = (node.output.shape ?? []).filter((dim) => typeof dim === "number");
    return [{ output: node.output, layer, size: known.reduce((a, b) => a * b, 1) }];
  });
}

const layers: ReadonlySet<string> = new Set(["Conv", "ConvTranspose", "Gemm", "MatMul"]);
const between: ReadonlySet<string> = new Set(["Add", "BatchNormalization", "Mul"]);

/** What makes the values that a Clip bounds, but for sums and scales on the way. */
function layerBefore(clip: Node): Node | null {
  let node = clip.inputs[0]?.producer ?? null;
  while (node && between.has(node.op)) node = node.inputs[0]?.producer ?? null;
  return node && layers.has(node.op) ? node : null;
}

function open(output: Value): void {
  const { name, graph, inputs } = output.producer as Node;
  const { outputs } = graph.add("Relu", [inputs[0]], { name, outputs: [output.name] });
  graph.replace(output, outputs[0]);
}

function openAll(bounds: readonly Bound[], of: number, moved: number, { warn }: Context): void {
  for (const { output } of bounds) open(output);
  warn(`${bounds.length} of ${of} clips are open; the outputs move by ${moved.toPrecision(2)}`);
}
