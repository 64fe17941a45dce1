/** @file One stage of a chain as a node: a convolution, or a product with a matrix. */
import type { Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { transpose } from "../numeric/matrix.ts";
import { type Builder, build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import type { Placed, Stage } from "./chain.ts";
import { type Geometry, geometryOf } from "./geometry.ts";
import type { Layer } from "./matrix.ts";

/** What the last part of a chain computes besides: y = alpha (its own result) + beta bias. */
export interface Tail {
  readonly bias: Value | null;
  readonly alpha: number;
  readonly beta: number;
}

/**
 * Adds the node of one stage behind x; `tail` is null if other stages follow. `geometryOf` must
 * have accepted the stage.
 */
export function addStage(layer: Layer, stage: Placed<Stage>, x: Value, tail: Tail | null): Node {
  const { kind, use } = layer;
  const { graph } = layer.node;
  const name = `${layer.node.name}/${stage.name}`;
  const g = build(graph, layer.node.name, inferNode);
  if (kind === "conv") {
    const weight = constant(g, stage, stage.shape, stage.values);
    const { attributes, crop } = geometryOf(layer, stage) as Geometry;
    const data = crop ? cropped(g, x, crop) : x;
    const inputs = [data, weight, tail?.bias ?? null];
    return typed(graph.add("Conv", inputs, { name, attributes }));
  }
  const [rows, columns] = stage.shape;
  const turned = () => transpose(stage.values, rows, columns, new Float32Array(rows * columns));
  const weight =
    use.side === "left"
      ? constant(g, stage, [rows, columns], stage.values)
      : constant(g, stage, [columns, rows], turned());
  const factors = use.side === "left" ? [weight, x] : [x, weight];
  if (!tail || !use.scale) return typed(graph.add("MatMul", factors, { name }));
  const attributes = {
    alpha: { type: "float", value: tail.alpha },
    beta: { type: "float", value: tail.beta },
  } as const;
  return typed(graph.add("Gemm", [...factors, tail.bias], { name, attributes }));
}

function constant(
  g: Builder,
  { name }: Stage,
  shape: readonly number[],
  values: Float32Array | Float64Array,
): Value {
  return g.constant(tensor("float32", shape, values), { name });
}

function typed(added: Node): Node {
  inferNode(added);
  return added;
}

/** x without its outermost positions: `crop` has begins, then ends, for every spatial axis. */
function cropped(g: Builder, x: Value, crop: readonly number[]): Value {
  const rank = crop.length / 2;
  const axes = Array.from({ length: rank }, (_, axis) => axis + 2);
  const ends = crop.slice(rank).map((cut) => (cut > 0 ? -cut : 2 ** 31 - 1));
  return g.Slice(
    x,
    g.ints(crop.slice(0, rank), "starts"),
    g.ints(ends, "ends"),
    g.ints(axes, "axes"),
  );
}
