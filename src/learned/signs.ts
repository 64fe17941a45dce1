/** @file What layers read, as signs: -1 and +1. */
import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { boundsOf } from "../ops/bounds.ts";
import { factorBeside, linearOf } from "../ops/linear.ts";
import { normOf } from "../ops/norms.ts";
import { keptBy, rangeOf } from "../ops/range.ts";
import { type WeightUse, weightsOf } from "../ops/weights.ts";
import { type Latent, type Opened, open } from "../weights/latent.ts";
import type { ThetaSite } from "../weights/sites.ts";
import { signOf } from "./straight-through.ts";

/**
 * Opens what the layers of these sites read as sign(x), with the gradient dx = dy 1(|x| <= 1)
 * (Courbariaux et al. 2016, arXiv 1602.02830, eq. 4). Afterwards the sign stays, as nodes.
 *
 * Papers put the sign behind a normalization and in the place of the activation: norm -> sign -> layer
 * -> pool. So where a layer reads what a Relu gives, the Relu is left out for it, also across
 * pooling that nothing else reads. Where values cannot become negative all the same, signs would
 * all be +1: such inputs stay float, like the inputs of the model itself, and a warning names the layers.
 *
 * Gives what to open for training. It changes the graph at once where a Relu is left out.
 */
export function openSigns(
  model: Model,
  sites: readonly ThetaSite[],
  context: Pick<Context, "warn">,
  { refusal = () => null, before = () => {} }: SignHooks = {},
): Opened[] {
  const nodes = new Set(sites.map(({ node }) => node));
  const floats = new Map<string, string[]>();
  const signed = weightsOf(model).filter((use) => {
    const { node } = use;
    if (!nodes.has(node) || !linearOf(node)) return false;
    const value = factorBeside(use);
    const reason = model.graph.inputs.includes(value) ? "is what the model is given" : refusal(use);
    const x = reason ? null : withoutRelu(value, node);
    if (x) before(use, x);
    else {
      const why = reason ?? "is never negative, so that all signs would be equal";
      floats.set(why, [...(floats.get(why) ?? []), node.name]);
    }
    return x !== null;
  });
  for (const [why, names] of floats) {
    context.warn(`the input of ${names.join(", ")} stays float: it ${why}`);
  }
  if (signed.length > 0 && ![...model.graph.nodes].some((node) => normOf(node))) {
    const what = "no layer is normalized, and inputs beyond [-1, 1] get no gradient";
    context.warn(`${what}: signs need BatchNormalization in front of them`);
  }
  const readers = new Map<Value, Node[]>();
  for (const use of signed) {
    const x = factorBeside(use);
    readers.set(x, [...(readers.get(x) ?? []), use.node]);
  }
  return [...readers].map(([value, own]) => open({ node: own[0], value, readers: own }, signs));
}

export interface SignHooks {
  /** Why a layer's input stays float, as in "it is one of a pair"; null if it becomes signs. */
  refusal?(use: WeightUse): string | null;
  /** Called for each layer that will read the signs of x, in the order of execution. */
  before?(use: WeightUse, x: Value): void;
}

const signs: Latent<never> = {
  theta: {},
  build: (g, _, x) => signOf(g, g.Clip(x, g.constant(-1), g.constant(1))),
  close: () => signOf,
};

/**
 * The value whose sign the layer should read in place of that of `value`, which it reads now; null if
 * all that can be found is never negative. A Relu that is left out is left out of the graph here.
 */
function withoutRelu(value: Value, layer: Node): Value | null {
  const path: { readonly at: Value; readonly reader: Node }[] = [{ at: value, reader: layer }];
  for (const { at, reader } of path) {
    const node = at.producer;
    if (!node) break;
    if (isNotNegative(boundsOf(node)?.low)) {
      // Whatever else reads the values in between would get negative ones as well.
      const isOwn = path.every((step) => step.at.uses.size === 1 && step.at.consumers.length === 1);
      if (path.length > 1 && !isOwn) return null;
      const source = node.inputs[0] as Value;
      reader.setInput(reader.inputs.indexOf(at), source);
      return at === value ? source : value;
    }
    const kept = keptBy(node);
    if (kept.length === 1) path.push({ at: node.inputs[kept[0]] as Value, reader: node });
  }
  return isNeverNegative(value) ? null : value;
}

const isNotNegative = (low: number | null | undefined): boolean =>
  typeof low === "number" && low >= 0;

/** Whether every path to the value comes through something that gives no negative numbers. */
function isNeverNegative(value: Value): boolean {
  const seen = new Set([value]);
  for (const at of seen) {
    const node = at.producer;
    if (isNotNegative(rangeOf(at)?.low) || isNotNegative(node && boundsOf(node)?.low)) continue;
    const kept = node ? keptBy(node) : [];
    if (!node || kept.length === 0) return false;
    for (const index of kept) seen.add(node.inputs[index] as Value);
  }
  return true;
}
