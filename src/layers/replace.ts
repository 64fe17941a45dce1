/**
 * @file Puts a chain of layers in the place of one.
 *
 *   const layer = layerOf(site);                        // or the reason why not
 *   replaceLayer(layer, [                               // d x d -> d x 1, then 1 x d
 *     { name: "rows", shape: [r, c, d, 1], values },    // stride, padding, dilation of axis 0
 *     { name: "columns", shape: [n, r, 1, d], values }, // and of axis 1; the bias
 *   ]);
 */
import type { Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import { biasOf } from "../ops/weights.ts";
import { product } from "../util/product.ts";
import {
  type Branches,
  type Chain,
  isBranches,
  isInsert,
  outlinesIn,
  type Placed,
  placeAxes,
  type Stage,
  widthOf,
} from "./chain.ts";
import { geometryOf } from "./geometry.ts";
import { inputOf, type Layer } from "./matrix.ts";
import { addStage, type Tail } from "./stage.ts";
import { takePlace } from "./take-place.ts";

/**
 * Replaces the layer by the chain. Returns the nodes of its stages in order, or the reason why the
 * layer was left alone. Throws an Error if the chain does not fit the layer.
 *
 * The last part takes the bias, alpha and beta, and its output the name of the layer's output. A
 * bias that an Add behind the layer adds stays there.
 */
export function replaceLayer(layer: Layer, chain: Chain): readonly Node[] | string {
  const { node, value, kernel, use } = layer;
  checkShapes(layer, chain);
  // Without any stage, what is inserted sees to all axes.
  const placed = chain.every(isInsert) ? chain : placeAxes(chain, [...kernel.keys()]);
  if (layer.kind === "conv") {
    const found = outlinesIn(placed).map((stage) => geometryOf(layer, stage));
    const refused = found.find((geometry) => typeof geometry === "string");
    if (refused) return refused;
  }
  const nodes: Node[] = [];
  const input = inputOf(layer);
  const tail = { bias: use.hasBias ? biasOf(node) : null, ...(use.scale ?? { alpha: 1, beta: 1 }) };
  const by = addChain({ layer, nodes }, placed, input, tail);
  if (by === input) throw new Error(`the chain in place of ${node.name} does nothing`);
  takePlace(node, by, value);
  return nodes;
}

function checkShapes({ node, kernel, inputs, outputs, groups }: Layer, chain: Chain): void {
  for (const { name, shape, values } of outlinesIn(chain)) {
    const size = product(shape);
    if (shape.length !== 2 + kernel.length || size !== values.length) {
      throw new Error(`${name} has ${values.length} values of shape ${shape.join(" x ")}`);
    }
  }
  const width = widthOf(chain, inputs * groups);
  if (width !== null && width !== outputs) {
    throw new Error(`the chain gives ${width} channels; ${node.name} gives ${outputs}`);
  }
}

interface Work {
  readonly layer: Layer;
  /** The nodes added for stages so far. */
  readonly nodes: Node[];
}

/** Adds the nodes of a chain behind x; `tail` is null if more parts follow. */
function addChain(work: Work, chain: Chain<Placed<Stage>>, x: Value, tail: Tail | null): Value {
  const { layer, nodes } = work;
  if (chain.length === 0) return finish(layer, x, tail);
  return chain.reduce((x, part, i) => {
    const last = i === chain.length - 1 ? tail : null;
    if (isInsert(part)) return finish(layer, part(builder(layer), x), last);
    if (isBranches(part)) return addBranches(work, part, x, last);
    const node = addStage(layer, part, x, last);
    nodes.push(node);
    return node.output;
  }, x);
}

const builder = ({ node }: Layer) => build(node.graph, node.name, inferNode);

function addBranches(
  work: Work,
  { join, branches }: Branches<Placed<Stage>>,
  x: Value,
  tail: Tail | null,
): Value {
  const { layer } = work;
  const g = builder(layer);
  const biases = tail && (join === "sum" ? [tail.bias] : biasParts(layer, branches, tail));
  const values = branches.map((branch, i) =>
    addChain(work, branch, x, tail && { ...tail, bias: biases?.[i] ?? null }),
  );
  const joined =
    join === "sum"
      ? values.reduce((a, b) => g.Add(a, b))
      : g.Concat(...values, { axis: axisOf(layer, x) });
  return biases ? joined : finish(layer, joined, tail && { ...tail, alpha: 1 });
}

/** The axis of outputs: channels of a convolution, rows of W x, columns of x W^T. */
function axisOf({ kind, use }: Layer, x: Value): number {
  if (kind === "conv") return 1;
  return use.side === "left" && x.shape?.length !== 1 ? -2 : -1;
}

/**
 * Each branch's part of a bias. Null if the bias is not a constant of one number per output, or if
 * the branches' widths are not known: it is then added behind them.
 */
function biasParts(
  { kind, use, node }: Layer,
  branches: Branches["branches"],
  { bias }: Tail,
): readonly Value[] | null {
  if (!bias) return [];
  const axis = kind === "linear" && use.side === "left" ? -2 : -1;
  const whole = bias.tensor;
  const widths = branches.map((branch) => widthOf(branch, null));
  if (!whole || !widths.every((width) => width !== null)) return null;
  const outputs = widths.reduce((a, b) => a + b, 0);
  if (whole.shape.at(axis) !== outputs || whole.size !== outputs) return null;
  const g = build(node.graph, node.name);
  const values = Float64Array.from(whole.numbers());
  let at = 0;
  return widths.map((width) => {
    const shape = whole.shape.with(axis, width);
    const part = tensor(whole.dtype, shape, values.slice(at, (at += width)));
    return g.constant(part, { name: "bias" });
  });
}

/** Adds alpha y + beta bias as nodes, behind a last part that is no stage. */
function finish(layer: Layer, y: Value, tail: Tail | null): Value {
  if (!tail) return y;
  const g = builder(layer);
  const { bias, alpha, beta } = tail;
  const scaled = alpha === 1 ? y : g.Mul(y, g.constant(alpha));
  if (!bias || beta === 0) return scaled;
  const term = beta === 1 ? bias : g.Mul(bias, g.constant(beta));
  if (layer.kind === "linear") return g.Add(scaled, term);
  return g.Add(scaled, g.Reshape(term, g.ints([-1, ...layer.kernel.map(() => 1)], "shape")));
}
