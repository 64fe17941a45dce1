/** @file Gated blocks: a look at its input decides whether a residual block runs. */
import { z } from "zod";
import type { Context, Observe, Records } from "../../context.ts";
import { flipsOption } from "../../evidence/exits.ts";
import { outputsOf } from "../../evidence/output-shift.ts";
import { dtypes } from "../../ir/dtype.ts";
import type { Graph, Node, Value } from "../../ir/graph.ts";
import { cloneGraph, type Model } from "../../ir/model.ts";
import { dependencies } from "../../ir/sort.ts";
import { runOnlyIf } from "../../layers/branch.ts";
import { type Block, blocksOf } from "../../layers/residual.ts";
import { argmax } from "../../numeric/argmax.ts";
import { solveSpd } from "../../numeric/cholesky.ts";
import { exp } from "../../numeric/exp.ts";
import { damped } from "../../numeric/inverse.ts";
import { log } from "../../numeric/log.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { costModel } from "../../ops/cost.ts";
import { inferNode } from "../../ops/infer.ts";
import { linearOf } from "../../ops/linear.ts";
import { hasTrait } from "../../ops/traits.ts";
import { weightsOf } from "../../ops/weights.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/** A gate is kept if at least this share of the held-out records skips its block. */
const FEWEST = 0.02;
/** Gates that save a smaller share of the work take more time than they save. */
const LEAST_SAVED = 0.05;
/** Thresholds that are tried: quantiles of all scores. */
const LEVELS = 64;
/** Damages below this are alike: log D is not defined at 0. */
const LEAST = 1e-6;

/**
 * With p(x) the mean of a block's input over its positions, a residual block y = x + f(x) becomes
 *   y = x + f(x) if a p(x) + b > t, else x
 * as an ONNX `If`, which the engine really skips. In a batch the block runs if any record wants it.
 *
 * The papers train their gates together with the network. Here a gate is a ridge regression: for each
 * record, D is the divergence of the model's answer without this block from its answer with it, and
 * a p + b is fitted to log D less the log of the block's work. t is one for all blocks: the largest with
 * which, with all gates at work, at most `flips` percent of the answers on held-out records change.
 */
export const gateBlocks = defineMethod({
  title: "gated residual blocks",
  cite: "Veit, Belongie 2018, ConvNet-AIG, arXiv 1711.11503; Wu et al. 2018, BlockDrop, arXiv 1711.08393",
  equation: "y = x + f(x) if a mean_p x_p + b > t, else x",
  summary:
    "Gives each residual block a gate that looks at its input and skips the block where the answer does not need it.",
  needs: ["calibration"],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    flips: flipsOption,
    records: z.int().min(4).max(1e6).default(512).meta({
      description: "Calibration records: gates are fitted to one half, the threshold to the other.",
    }),
    damping: z.number().min(1e-6).max(10).default(0.1).meta({
      description: "Added to the second moments of the pooled inputs, as a share of their mean.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { flips, records, damping, ...selection }, context) {
    const chosen = chosenLayers(model, selection);
    const [first] = chosen;
    await context.progress(0, 1);
    if (!first) return;
    const refuse = (reason: string) => context.skip(first.name, reason);
    const blocks = gateable(model, chosen, context);
    const classes = classesOf(model);
    if (classes === null) {
      refuse(
        "gates need a model whose only output is one float32 score per class, [N, C] with C > 1",
      );
      return;
    }
    if (blocks.length === 0) return refuse("no residual block keeps the shape of its input");
    const fit = { from: 0, to: records, step: 2 };
    const held = { from: 1, to: records, step: 2 };
    const gates = await fittedGates(model, blocks, classes, fit, damping, context);
    if (typeof gates === "string") return refuse(gates);
    const found = await thresholdOf(model, blocks, gates, classes, held, flips, context.observe);
    if (!found) return refuse("no block can be skipped for any record at so few flips");
    const saved = blocks.reduce((sum, { share }, i) => sum + share * found.skipped[i], 0);
    if (saved < LEAST_SAVED) {
      return refuse(
        `gates would save ${percent(saved)} of the work and change ${percent(found.flips)} of the answers: not worth it`,
      );
    }
    const g = build(model.graph, "gate", inferNode);
    for (const [i, block] of blocks.entries()) {
      if (found.skipped[i] < FEWEST) {
        const reason = "runs for every record: its gate would skip too few";
        context.skip(block.layers[0].name, reason);
        continue;
      }
      put(g, block, gates[i], found.threshold);
    }
    context.warn(tell(blocks, found));
  },
});

/** A block with the nodes that only it needs. */
interface Gated extends Block {
  readonly own: readonly Node[];
  /** Its share of the model's multiplications. */
  readonly share: number;
}

/** The residual blocks whose layers are all chosen. */
function gateable(model: Model, chosen: ReadonlySet<Node>, context: Context): Gated[] {
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

/** C of scores [N, C]; null for other outputs. */
function classesOf({ graph }: Model): number | null {
  const [output, ...others] = graph.outputs;
  const classes = output?.shape?.length === 2 ? output.shape[1] : null;
  const isScores = others.length === 0 && output.dtype === "float32";
  return isScores && typeof classes === "number" && classes > 1 ? classes : null;
}

const featureAxis = ({ layers: [first] }: Block): number =>
  linearOf(first)?.kind === "conv" ? 1 : -1;

/** a [C] and b. */
interface Gate {
  readonly weight: Float32Array;
  readonly bias: number;
}

/** The mean of x over its positions, [N, C]. */
function pooled(g: Builder, block: Block, x: Value): Value {
  const rank = x.shape?.length ?? 2;
  const axis = featureAxis(block) < 0 ? rank - 1 : 1;
  const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 0 && i !== axis);
  return axes.length > 0 ? g.ReduceMean(x, g.ints(axes, "axes"), { keepdims: 0 }) : x;
}

/** a p(x) + b, [N, 1]. */
function scoreOf(g: Builder, block: Block, x: Value, { weight, bias }: Gate): Value {
  const a = g.constant(weight, { shape: [weight.length, 1], name: "weight" });
  return g.Add(g.MatMul(pooled(g, block, x), a), g.constant([bias], { name: "bias" }));
}

/** For each block the regression of log D - log(share) on its pooled input; a reason if it fails. */
async function fittedGates(
  model: Model,
  blocks: readonly Gated[],
  classes: number,
  records: Records,
  damping: number,
  context: Context,
): Promise<Gate[] | string> {
  const own = withPooled(model, blocks);
  const [expected, ...inputs] = await outputsOf(own, records, context.observe);
  const count = expected.length / classes;
  const isSoft = hasTrait(model.graph.outputs[0].producer, "probabilities");
  const gates: Gate[] = [];
  for (const [i, block] of blocks.entries()) {
    await context.progress(i, blocks.length + 1);
    const twins = new Map<Value, Value>();
    const copy: Model = { ...model, graph: cloneGraph(model.graph, twins) };
    copy.graph.replace(twins.get(block.sum.output) as Value, twins.get(block.through) as Value);
    const [actual] = await outputsOf(copy, records, context.observe);
    const width = inputs[i].length / count;
    if (actual.length !== expected.length || !Number.isInteger(width)) {
      return "gives values that are not finite on some calibration records";
    }
    const targets = Float64Array.from({ length: count }, (_, n) => {
      const row = (all: Float32Array) => all.subarray(n * classes, (n + 1) * classes);
      return log(LEAST + divergence(row(expected), row(actual), isSoft)) - log(block.share + LEAST);
    });
    gates.push(ridge(inputs[i], targets, width, damping));
  }
  return gates;
}

/** The model with the pooled inputs of the blocks as further outputs. */
function withPooled(model: Model, blocks: readonly Gated[]): Model {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  const g = build(graph, "gate", inferNode);
  const inputs = blocks.map((block) =>
    g.Identity(pooled(g, block, twins.get(block.through) as Value)),
  );
  graph.setOutputs([...graph.outputs, ...inputs]);
  return { ...model, graph };
}

/** sum_c p_c log(p_c / q_c) of two rows of scores, or of probabilities. */
function divergence(p: Float32Array, q: Float32Array, isSoft: boolean): number {
  const [a, b] = [p, q].map((row) => (isSoft ? row.map((x) => log(Math.max(x, 1e-30))) : row));
  const [la, lb] = [a, b].map(normalizer);
  let sum = 0;
  for (const [c, x] of a.entries()) sum += exp(x - la) * (x - la - (b[c] - lb));
  return Math.max(0, sum);
}

/** log sum_c exp(x_c). */
function normalizer(row: Float32Array): number {
  const most = row[argmax(row)];
  return most + log(row.reduce((sum, x) => sum + exp(x - most), 0));
}

/** min over a, b: sum_n (a x_n + b - t_n)^2 + damping |a|^2, x [count, width]. */
function ridge(x: Float32Array, t: Float64Array, width: number, damping: number): Gate {
  const count = t.length;
  const mean = new Float64Array(width);
  for (let n = 0; n < count; n++) for (let i = 0; i < width; i++) mean[i] += x[n * width + i];
  for (let i = 0; i < width; i++) mean[i] /= count;
  const level = t.reduce((a, b) => a + b, 0) / count;
  const gram = new Float64Array(width * width);
  const cross = new Float64Array(width);
  for (let n = 0; n < count; n++) {
    const row = Float64Array.from({ length: width }, (_, i) => x[n * width + i] - mean[i]);
    for (let i = 0; i < width; i++) {
      cross[i] += row[i] * (t[n] - level);
      for (let j = 0; j < width; j++) gram[i * width + j] += row[i] * row[j];
    }
  }
  const isFlat = gram.every((value) => value === 0);
  const weight = isFlat
    ? mean.map(() => 0)
    : solveSpd(damped(gram, width, damping), width, cross, 1);
  let bias = level;
  for (let i = 0; i < width; i++) bias -= weight[i] * mean[i];
  return { weight: Float32Array.from(weight), bias };
}

interface Choice {
  readonly threshold: number;
  /** For each block, the share of the held-out records that skip it. */
  readonly skipped: readonly number[];
  /** The share of the held-out answers that change. */
  readonly flips: number;
}

/** The largest threshold that `flips` percent allow; null if it skips nothing. */
async function thresholdOf(
  model: Model,
  blocks: readonly Gated[],
  gates: readonly Gate[],
  classes: number,
  records: Records,
  flips: number,
  observe: Observe,
): Promise<Choice | null> {
  const [expected] = await outputsOf(model, records, observe);
  const run = async (threshold: number) => {
    const copy = emulated(model, blocks, gates, threshold);
    const [actual, ...scores] = await outputsOf(copy, records, observe);
    let changed = 0;
    const count = expected.length / classes;
    const best = (all: Float32Array, n: number) =>
      argmax(all.subarray(n * classes, (n + 1) * classes));
    for (let n = 0; n < count; n++) if (best(expected, n) !== best(actual, n)) changed++;
    const skipped = scores.map((own) => own.filter((s) => s <= threshold).length / own.length);
    return { scores, choice: { threshold, skipped, flips: changed / count } };
  };
  const { scores } = await run(Number.NEGATIVE_INFINITY);
  const sorted = Float32Array.from(scores.flatMap((own) => [...own])).sort();
  let best: Choice | null = null;
  let [low, high] = [0, LEVELS + 1];
  // Bisection: flips grow with the share of skipped blocks, but for noise.
  while (high - low > 1) {
    const level = (low + high) >> 1;
    const at = Math.floor((level / LEVELS) * (sorted.length - 1));
    const { choice } = await run(sorted[at]);
    if (choice.flips * 100 <= flips) [low, best] = [level, choice];
    else high = level;
  }
  return best?.skipped.some((share) => share >= FEWEST) ? best : null;
}

/** The model with each record's gates as factors 0 or 1 of what blocks add; outputs y, then scores. */
function emulated(
  model: Model,
  blocks: readonly Gated[],
  gates: readonly Gate[],
  threshold: number,
): Model {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  const g = build(graph, "gate", inferNode);
  const scores = blocks.map((block, i) => {
    const sum = (twins.get(block.sum.output) as Value).producer as Node;
    const score = scoreOf(g, block, sum.inputs[block.at] as Value, gates[i]);
    const runs = g.Cast(g.Greater(score, g.constant(threshold)), { to: dtypes.float32.code });
    const rank = block.sum.output.shape?.length ?? 2;
    const factor = g.Reshape(runs, g.ints([-1, ...Array<number>(rank - 1).fill(1)], "shape"));
    sum.setInput(1 - block.at, g.Mul(sum.inputs[1 - block.at], factor));
    return score;
  });
  graph.setOutputs([...graph.outputs, ...scores]);
  return { ...model, graph };
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

const percent = (part: number): string => `${Number((100 * part).toPrecision(3))} %`;

/** What a user should know of the gates. */
function tell(blocks: readonly Gated[], { skipped, flips }: Choice): string {
  const saved = blocks.reduce((sum, { share }, i) => sum + share * skipped[i], 0);
  const each = blocks.map(({ layers: [first] }, i) => `${first.name} ${percent(skipped[i])}`);
  return `skipped on held-out records: ${each.join(", ")}; a record takes ${percent(1 - saved)} of the work on average, and ${percent(flips)} of the answers change`;
}
