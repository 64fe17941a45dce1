/** @file Deepening: more layers, which start as the identity (Net2DeeperNet). */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { boundsOf } from "../ops/bounds.ts";
import { type Builder, build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import { linearOf } from "../ops/linear.ts";
import { hasTrait } from "../ops/traits.ts";
import { weightsOf } from "../ops/weights.ts";

/** An activation behind a layer, of known width. */
interface Place {
  readonly layer: Node;
  readonly activation: Node;
  readonly width: number;
}

/**
 * Adds `share` times as many layers with an activation as there are, spread evenly; the outputs stay
 * the same. Behind an activation f with f(f(y)) = f(y), as ReLU is, stands a layer of the same kind
 * whose weight is the identity, and f again (Chen, Goodfellow, Shlens 2016, Net2Net, arXiv 1511.05641,
 * section 2.3). In place; returns the layers behind which there are new ones, or why there are none.
 */
export function deepenLayers(
  model: Model,
  share: number,
  chosen: ReadonlySet<Node>,
): readonly string[] | string {
  const places = placesIn(model, chosen);
  if (places.length === 0) return "no chosen layer of known width stands before a ReLU or a Clip";
  const count = Math.round(share * places.length);
  const at = Array.from(
    { length: count },
    (_, i) => places[Math.floor((i * places.length) / count)],
  );
  for (const place of at) deepen(place);
  return at.map(({ layer }) => layer.name);
}

function placesIn(model: Model, chosen: ReadonlySet<Node>): Place[] {
  const layers = new Set(weightsOf(model).map(({ node }) => node));
  return model.graph.sorted().flatMap((activation): Place[] => {
    if (!boundsOf(activation) || activation.output.isOutput) return [];
    if (activation.output.dtype !== "float32") return [];
    const layer = layerBefore(activation, layers);
    const linear = layer && linearOf(layer);
    const width = linear && activation.output.shape?.at(linear.channelAxis);
    const isPlain = linear && linear.kind !== "convtranspose";
    if (!layer || !isPlain || !chosen.has(layer) || typeof width !== "number") return [];
    return [{ layer, activation, width }];
  });
}

/** The layer whose output reaches the node by nothing but shifts and scales of single channels. */
function layerBefore(node: Node, layers: ReadonlySet<Node>): Node | null {
  let value: Value | null = node.inputs[0];
  for (let step = 0; step < 4; step++) {
    const before: Node | null = value?.producer ?? null;
    if (!before) return null;
    if (layers.has(before)) return before;
    const inner: (Value | null)[] = before.inputs.filter((input) => input && !input.tensor);
    if (!hasTrait(before, "affine") || inner.length !== 1) return null;
    [value] = inner;
  }
  return null;
}

/** Adds f(I f(y)) behind f(y). */
function deepen({ layer, activation, width }: Place): void {
  const y = activation.output;
  const readers = [...y.uses];
  const g = build(y.graph, `${layer.name}/deeper`, inferNode);
  const identity = linearOf(layer)?.kind === "conv" ? conv(g, y, layer, width) : dense(g, y, width);
  const { op, domain, attributes, inputs } = activation;
  const again = y.graph.add(op, [identity, ...inputs.slice(1)], {
    name: `${layer.name}/deeper/${op}`,
    ...{ domain, attributes },
  });
  inferNode(again);
  for (const { user, index } of readers) if ("setInput" in user) user.setInput(index, again.output);
}

/** A convolution with the layer's kernel size whose centre passes each channel on. */
function conv(g: Builder, y: Value, layer: Node, width: number): Value {
  const sizes = (layer.inputs[1]?.shape ?? [])
    .slice(2)
    .map((size) => (Number(size) % 2 ? Number(size) : 1));
  const positions = sizes.reduce((a, b) => a * b, 1);
  const weight = new Float32Array(width * width * positions);
  const centre = (positions - 1) / 2;
  for (let c = 0; c < width; c++) weight[(c * width + c) * positions + centre] = 1;
  const pads = [...sizes, ...sizes].map((size) => (size - 1) / 2);
  const bias = g.constant(new Float32Array(width), { name: "bias" });
  const shape = [width, width, ...sizes];
  return g.Conv(y, g.constant(weight, { shape, name: "weight" }), bias, { pads });
}

function dense(g: Builder, y: Value, width: number): Value {
  const weight = Float32Array.from({ length: width * width }, (_, i) =>
    Number(i % (width + 1) === 0),
  );
  const product = g.MatMul(y, g.constant(weight, { shape: [width, width], name: "weight" }));
  return g.Add(product, g.constant(new Float32Array(width), { name: "bias" }));
}
