/** @file Gates: a small linear layer looks at a residual block's input, and the block runs or is skipped. */
import type { Context, Observe, Records } from "../context.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { dependencies } from "../ir/sort.ts";
import type { Tensor } from "../ir/tensor.ts";
import { runOnlyIf } from "../layers/branch.ts";
import { type Block, blocksOf } from "../layers/residual.ts";
import { argmax } from "../numeric/argmax.ts";
import { type Builder, build } from "../ops/builder.ts";
import { costModel } from "../ops/cost.ts";
import { inferNode } from "../ops/infer.ts";
import { linearOf } from "../ops/linear.ts";
import { weightsOf } from "../ops/weights.ts";
import { percent } from "../util/percent.ts";
import { outputsOf } from "./output-shift.ts";

/** A gate is kept if at least this share of the held-out records skips its block. */
const FEWEST = 0.02;
/** Thresholds that are tried: quantiles of all scores. */
const LEVELS = 64;

/** A block with the nodes that only it needs. */
export interface Gated extends Block {
  readonly own: readonly Node[];
  /** Its share of the model's multiplications. */
  readonly share: number;
}

/** The residual blocks whose layers are all chosen. */
export function gateable(model: Model, chosen: ReadonlySet<Node>, context: Context): Gated[] {
  const layers = new Set(weightsOf(model).map(({ node }) => node));
  const { perNode, macs } = costModel(model);
  return blocksOf(model, layers).flatMap((block) => {
    if (!block.layers.every((node) => chosen.has(node))) return [];
    if (block.sum.output.dtype !== "float32" || block.result.isOutput) return [];
    const own = ownNodes(model.graph, block);
    const why = own.some(({ subgraphs }) => subgraphs.length > 0)
      ? "holds bodies of its own"
      : typeof block.through.shape?.at(featureAxis(block)) !== "number"
        ? "reads an unknown number of channels"
        : null;
    if (why) context.skip(block.layers[0].name, why);
    const work = own.reduce((sum, node) => sum + (perNode.get(node)?.macs ?? 0), 0);
    return why ? [] : [{ ...block, own, share: work / (macs || 1) }];
  });
}

/** The nodes, in order, that compute the block's result and nothing else. */
function ownNodes(graph: Graph, { sum, result, through }: Block): Node[] {
  const stays = dependencies([through]);
  const own = new Set<Node>(result.producer ? [sum, result.producer] : [sum]);
  const order = graph.sorted();
  for (const node of order.toReversed()) {
    const isOwn = node.outputs.every(
      (value) =>
        !stays.has(value) && !value.isOutput && value.consumers.every((user) => own.has(user)),
    );
    if (isOwn && !own.has(node) && node.outputs.some(({ uses }) => uses.size > 0)) own.add(node);
  }
  return order.filter((node) => own.has(node));
}

const featureAxis = ({ layers: [first] }: Block): number =>
  linearOf(first)?.kind === "conv" ? 1 : -1;

/** The scores a p(x) + b of one block: a [C] and b. */
export interface Gate {
  readonly weight: Float32Array;
  readonly bias: number;
}

/** The gates of all blocks, and constants of the model that were trained together with them. */
export interface Gates {
  readonly gates: readonly Gate[];
  readonly learned: ReadonlyMap<Value, Tensor>;
}

/** p(x), the mean of x over its positions, [N, C]. */
export function pooled(g: Builder, block: Block, x: Value): Value {
  const rank = x.shape?.length ?? 2;
  const axis = featureAxis(block) < 0 ? rank - 1 : 1;
  const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 0 && i !== axis);
  return axes.length > 0 ? g.ReduceMean(x, g.ints(axes, "axes"), { keepdims: 0 }) : x;
}

/** a p(x) + b, [N, 1]. */
function scoreOf(g: Builder, block: Block, x: Value, { weight, bias }: Gate): Value {
  const a = g.constant(weight, { shape: [weight.length, 1], name: "weight" });
  const b = g.constant(Float32Array.of(bias), { shape: [1], name: "bias" });
  return g.Gemm(pooled(g, block, x), a, b);
}

/**
 * A copy of the model in which what each block adds is multiplied by a factor for each record, which
 * `factor` makes of the gate's score [N, 1]; with the scores.
 */
export function withFactors(
  model: Model,
  blocks: readonly Gated[],
  { gates, learned }: Gates,
  factor: (g: Builder, score: Value) => Value = (_, score) => score,
) {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  for (const [value, tensor] of learned) graph.setConstant(twins.get(value) as Value, tensor);
  const g = build(graph, "gate", inferNode);
  const scores = blocks.map((block, i) => {
    const sum = (twins.get(block.sum.output) as Value).producer as Node;
    const score = scoreOf(g, block, sum.inputs[block.at] as Value, gates[i]);
    const rank = block.sum.output.shape?.length ?? 2;
    const dims = g.ints([-1, ...Array<number>(rank - 1).fill(1)], "shape");
    const each = g.Reshape(factor(g, score), dims);
    sum.setInput(1 - block.at, g.Mul(sum.inputs[1 - block.at], each));
    return score;
  });
  return { model: { ...model, graph } satisfies Model, scores, twins };
}

/** A threshold for all gates, and what it does. */
export interface Choice {
  readonly threshold: number;
  /** For each block, the share of the held-out records that skip it. */
  readonly skipped: readonly number[];
  /** The share of the held-out answers that differ from the model's. */
  readonly flips: number;
  /** The same where all blocks run; not 0 if the model was trained together with the gates. */
  readonly least: number;
}

/**
 * The largest threshold with which at most `flips` percent more of the answers differ from those of
 * `model` than where all blocks run; null if it skips nothing.
 */
export async function thresholdOf(
  model: Model,
  blocks: readonly Gated[],
  gates: Gates,
  { classes, records, flips }: { classes: number; records: Records; flips: number },
  observe: Observe,
): Promise<Choice | null> {
  const [expected] = await outputsOf(model, records, observe);
  const best = (all: Float32Array, n: number) =>
    argmax(all.subarray(n * classes, (n + 1) * classes));
  const run = async (threshold: number) => {
    const gated = withFactors(model, blocks, gates, (g, score) =>
      g.Cast(g.Greater(score, g.constant(threshold)), { to: dtypes.float32.code }),
    );
    const { graph } = gated.model;
    graph.setOutputs([...graph.outputs, ...gated.scores]);
    const [actual, ...scores] = await outputsOf(gated.model, records, observe);
    let changed = 0;
    const count = expected.length / classes;
    for (let n = 0; n < count; n++) if (best(expected, n) !== best(actual, n)) changed++;
    const skipped = scores.map((own) => own.filter((s) => s <= threshold).length / own.length);
    return { scores, threshold, skipped, flips: changed / count };
  };
  const { scores, flips: least } = await run(Number.NEGATIVE_INFINITY);
  const sorted = Float32Array.from(scores.flatMap((own) => [...own])).sort();
  let found: Choice | null = null;
  let [low, high] = [0, LEVELS + 1];
  // Bisection: flips grow with the share of skipped blocks, but for noise.
  while (high - low > 1) {
    const level = (low + high) >> 1;
    const at = Math.floor((level / LEVELS) * (sorted.length - 1));
    const { scores: _, ...choice } = await run(sorted[at]);
    if ((choice.flips - least) * 100 <= flips) [low, found] = [level, { ...choice, least }];
    else high = level;
  }
  return found?.skipped.some((share) => share >= FEWEST) ? found : null;
}

/**
 * Puts the blocks behind their gates, but for those that too few records skip. The model gets the
 * constants that were learned.
 */
export function putGates(
  model: Model,
  blocks: readonly Gated[],
  { gates, learned }: Gates,
  { threshold, skipped }: Choice,
  context: Context,
): void {
  for (const [value, tensor] of learned) model.graph.setConstant(value, tensor);
  const g = build(model.graph, "gate", inferNode);
  for (const [i, block] of blocks.entries()) {
    if (skipped[i] >= FEWEST) put(g, block, gates[i], threshold);
    else context.skip(block.layers[0].name, "runs for every record: its gate would skip too few");
  }
}

/** Puts the block behind its gate; without it, what follows its sum gets x. */
function put(g: Builder, block: Gated, gate: Gate, threshold: number): void {
  const { sum, result, own, at } = block;
  // Read again, because block.through may be the result of a block that has a gate by now.
  const through = sum.inputs[at] as Value;
  const score = g.ReduceMax(scoreOf(g, block, through, gate), null, { keepdims: 0 });
  const next = result.producer;
  const name = `${sum.name}/skipped`;
  runOnlyIf(g.Greater(score, g.constant(threshold)), { moved: own, result }, (body) => {
    if (!next || next === sum) return body.add("Identity", [through], { name }).output;
    const { op, domain, attributes } = next;
    return body.add(op, [through], { name, domain, attributes }).output;
  });
}

/** The share of the model's work that the gates save on held-out records. */
export const savedBy = (blocks: readonly Gated[], { skipped }: Choice): number =>
  blocks.reduce((sum, { share }, i) => sum + share * skipped[i], 0);

/** What a user should know of the gates. */
export function tellGates(blocks: readonly Gated[], choice: Choice): string {
  const { skipped, flips, least } = choice;
  const each = blocks.map(({ layers: [first] }, i) => `${first.name} ${percent(skipped[i])}`);
  const trained = least > 0 ? ` (${percent(least)} where all blocks run)` : "";
  return `skipped on held-out records: ${each.join(", ")}; a record takes ${percent(1 - savedBy(blocks, choice))} of the work on average, and ${percent(flips)} of the answers change${trained}`;
}
