/** @file Shortcuts that only pick positions and channels become 1x1 convolutions. */
import type { Node, Value } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { evaluateNode } from "../ops/evaluate.ts";
import { inferNode } from "../ops/infer.ts";
import { linearOf } from "../ops/linear.ts";
import { hasTrait } from "../ops/traits.ts";
import { product } from "../util/product.ts";

/** Elements of a map of one record, of which more are not looked at. */
const MOST = 2 ** 22;

/**
 * A residual network of option A (He et al. 2016, arXiv 1512.03385, section 4.1) has shortcuts without
 * parameters: every s-th position, and zeros in the channels that are missing,
 *   y_c,i,j = x_k(c),s i,s j  or 0
 * Among `nodes` such a shortcut into a sum is replaced by a 1x1 convolution of stride s (option B) of
 * ones and zeros, which the engine computes in its blocked layout; for a shortcut it would leave that,
 * and compute the sum and what follows outside. `draw` gives the numbers that stand in the place of
 * zeros: training moves small ones, and takes exact ones for pruned. Returns what `nodes` are then.
 */
export function convolveShortcuts(nodes: readonly Node[], draw: () => number = () => 0): Node[] {
  const kept = new Set(nodes);
  for (const sum of nodes) {
    if (!hasTrait(sum, "adds")) continue;
    for (const short of sum.inputs) {
      const chain = short && chainTo(short, kept);
      const [first] = chain ?? [];
      const x = first?.inputs[0];
      const found = chain && x && selectionOf(x, chain);
      if (!short || !found) continue;
      const { graph, output } = sum;
      const g = build(graph, `${output.name}/project`, (node) => {
        inferNode(node);
        kept.add(node);
      });
      const weight = found.picks.map((pick) =>
        Array.from({ length: found.channels }, (_, k) => Number(k === pick) || draw()),
      );
      const shape = [weight.length, found.channels, 1, 1];
      const y = g.Conv(x, g.constant(weight.flat(), { shape, name: "weight" }), null, {
        strides: found.strides,
      });
      graph.replace(short, y);
      for (const node of chain.toReversed()) {
        graph.remove(node);
        kept.delete(node);
      }
    }
  }
  return [...kept];
}

/**
 * The nodes without weights, all of them `among` those given, that compute a value from another one
 * that is read elsewhere too; null where there are none.
 */
function chainTo(value: Value, among: ReadonlySet<Node>): Node[] | null {
  const chain: Node[] = [];
  for (let at = value; ; ) {
    const node = at.producer;
    if (at.consumers.length > 1 || at.isOutput) return chain.length > 0 ? chain : null;
    if (!node || !among.has(node) || linearOf(node) || hasTrait(node, "random")) return null;
    const [x, ...others] = node.inputs;
    if (!x || others.some((other) => other && !constantValue(other))) return null;
    chain.unshift(node);
    at = x;
  }
}

interface Selection {
  readonly strides: readonly number[];
  readonly channels: number;
  /** For each channel of the output the one of x that it holds; -1 for zeros. */
  readonly picks: readonly number[];
}

/** What the chain picks of x [N, C, H, W]; null where it does anything else. */
function selectionOf(x: Value, chain: readonly Node[]): Selection | null {
  const [inner, outer] = [x.shape, chain.at(-1)?.output.shape].map((shape) =>
    shape?.length === 4 && shape.slice(1).every((dim) => typeof dim === "number")
      ? (shape.slice(1) as number[])
      : null,
  );
  if (!inner || !outer || x.dtype !== "float32" || product(inner) > MOST) return null;
  const [channels, ...sides] = inner;
  const strides = sides.map((side, i) => Math.max(1, Math.ceil(side / outer[i + 1])));
  // Channel k holds sizes from k + 1 to below k + 2, which differ, and both signs, which a Relu tells.
  const plane = product(sides);
  const probe = Float32Array.from({ length: product(inner) }, (_, i) => {
    const size = 1 + Math.floor(i / plane) + (i % plane) / plane;
    return Math.imul(i, 0x9e3779b1) < 0 ? -size : size;
  });
  const found = evaluated(chain, tensor("float32", [1, ...inner], probe))?.floats();
  if (found?.length !== product(outer)) return null;
  const [rows, columns] = outer.slice(1);
  const picks = Array.from(
    { length: outer[0] },
    (_, c) => Math.floor(Math.abs(found[c * rows * columns])) - 1,
  );
  const isSame = found.every((value, i) => {
    const pick = picks[Math.floor(i / (rows * columns))];
    const [row, column] = [Math.floor(i / columns) % rows, i % columns];
    const at = pick * plane + row * strides[0] * sides[1] + column * strides[1];
    return value === (pick < 0 ? 0 : probe[at]);
  });
  const isAll = String(inner) === String(outer);
  return isSame && !isAll ? { strides, channels, picks } : null;
}

/** What the chain computes of `x`; null where that is not known. */
function evaluated(chain: readonly Node[], x: Tensor): Tensor | null {
  let value: Tensor | null = x;
  for (const node of chain) {
    const others = node.inputs.slice(1).map((input) => input && constantValue(input));
    value = (value && evaluateNode(node, [value, ...others])?.[0]) ?? null;
  }
  return value;
}
