/** @file Adapters for whole layers: softmax, dropout, normalization and resizing. */
import { Graph, type Value } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { type Adapter, around, become, firstInput } from "./adapter.ts";

/**
 * Softmax, LogSoftmax and Hardmax before 13 see their input as a matrix [d0 * .. * d(axis-1),
 * d(axis) * ..]. That equals the newer operator on one axis only if all later dimensions are 1;
 * otherwise: Softmax(x) -> Reshape(Softmax(Flatten(x)), Shape(x)).
 */
export const coerced: Adapter = {
  before: 13,
  apply(node, facts) {
    const input = firstInput(node);
    const axis = node.int("axis", 1);
    const rank = facts.rank(input);
    const shape = facts.shape(input);
    const from = axis < 0 && rank !== null ? axis + rank : axis;
    const last = axis === -1 || (rank !== null && from === rank - 1);
    if (last || (from >= 0 && shape?.slice(from + 1).every((dim) => dim === 1))) {
      node.set("axis", { type: "int", value: last ? -1 : from });
      return node;
    }
    const g = around(node);
    const flat = g.Flatten(input, { axis });
    const values = g.many(node.op, [flat], { outputs: 1, attributes: { axis: -1 } });
    return become(node, "Reshape", [values[0], g.Shape(input)], {});
  },
};

/** `ratio` is an input since 12. The mask is bool since 10; readers get it in the old type. */
export const dropout: readonly Adapter[] = [
  {
    before: 10,
    apply(node, facts) {
      const mask = node.outputs[1];
      if (!mask || mask.uses.size === 0) return node;
      const g = around(node);
      const cast = g.many("CastLike", [mask, firstInput(node)], { outputs: 1 })[0];
      cast.dtype = facts.dtype(firstInput(node));
      mask.dtype = "bool";
      for (const { user, index } of [...mask.uses]) {
        if (user === cast.producer) continue;
        if (user instanceof Graph) user.setOutput(index, cast);
        else user.setInput(index, cast);
      }
      [mask.name, cast.name] = [cast.name, mask.name];
      return node;
    },
  },
  {
    before: 12,
    apply(node) {
      const ratio = node.float("ratio");
      node.set("ratio", null);
      if (ratio !== undefined) {
        node.setInput(1, around(node).constant(ratio, { dtype: "float32", name: "ratio" }));
      }
      return node;
    },
  },
];

/** `spatial` was removed in 9. Training is an attribute since 14 and returns fewer statistics. */
export const batchNormalization: readonly Adapter[] = [
  {
    // With spatial = 0 there are statistics for each feature [C, D1 ..]: plain broadcasting.
    before: 9,
    apply(node) {
      const spatial = node.int("spatial", 1);
      node.set("spatial", null);
      if (spatial === 1) return node;
      const [x, scale, bias, mean, variance] = node.inputs;
      const g = around(node);
      const spread = g.Sqrt(g.Add(variance, g.constant(node.float("epsilon", 1e-5))));
      const normal = g.Div(g.Sub(x, mean), spread);
      return become(node, "Add", [g.Mul(normal, scale), bias], {});
    },
  },
  {
    // More than one output meant training. They were Y, mean, var, saved_mean, saved_var.
    before: 14,
    apply(node) {
      const extra = node.outputs.slice(1).filter(({ name, uses }) => name !== "" || uses.size > 0);
      if (extra.length === 0) return node;
      if (node.outputs.slice(3).some(({ uses }) => uses.size > 0)) {
        throw new Error("its saved statistics are read, which no newer operator returns");
      }
      return become(
        node,
        node.op,
        [...node.inputs],
        { ...node.attributes, training_mode: { type: "int", value: 1 } },
        node.outputs.slice(0, 3),
      );
    },
  },
];

/**
 * Scale and bias are per channel [C] since 21; before, they were per group [G]. Each value is
 * repeated C / G times.
 */
export const groupNormalization: Adapter = {
  before: 21,
  apply(node, facts) {
    const [x, scale, bias] = node.inputs;
    const groups = node.int("num_groups", 1);
    const channels = facts.shape(x)?.[1];
    const g = around(node);
    const spread = (value: Value | null, name: string): Value => {
      if (!value) throw new Error(`its ${name} is missing`);
      if (value.tensor && typeof channels === "number") {
        return g.constant(repeat(value.tensor, channels / groups), { name });
      }
      const each = g.Div(g.Shape(x, { start: 1, end: 2 }), g.ints([groups]));
      const wide = g.Expand(
        g.Unsqueeze(value, g.ints([1])),
        g.Concat(g.ints([groups]), each, { axis: 0 }),
      );
      return g.Reshape(wide, g.ints([-1]));
    };
    node.setInputs([x, spread(scale, "scale"), spread(bias, "bias")]);
    return node;
  },
};

/** [a, b] -> [a, a, b, b] for `times` = 2. */
function repeat(values: Tensor, times: number): Tensor {
  if (!Number.isInteger(times)) throw new Error("its channels do not divide into its groups");
  const data = values.data();
  const wide = data.slice(0, 0).constructor as new (length: number) => typeof data;
  const array = new wide(data.length * times);
  for (let i = 0; i < array.length; i++) array[i] = data[Math.floor(i / times)];
  return tensor(values.dtype, [array.length], array);
}

/** A constant without elements, which in older versions stood for an absent input. */
const isEmpty = (value: Value | null | undefined): boolean => value?.tensor?.size === 0;

/** Coordinate modes were added in 11, and roi and scales became optional in 13. */
export const resize: readonly Adapter[] = [
  {
    // Resize 10 has no attributes for coordinates and rounding. It reads x_original = x / scale,
    // rounded down when enlarging and up when shrinking. The standard did not specify the rounding;
    // this is what ONNX Runtime does.
    before: 11,
    apply(node) {
      const [x, scales] = node.inputs;
      const factors = scales?.tensor ? [...scales.tensor.numbers()] : [];
      const shrinks = factors.some((s) => s < 1) && factors.every((s) => s <= 1);
      node.setInputs([x, null, scales]);
      node.set("coordinate_transformation_mode", { type: "string", value: "asymmetric" });
      if (node.text("mode", "nearest") === "nearest") {
        node.set("nearest_mode", { type: "string", value: shrinks ? "ceil" : "floor" });
      }
      return node;
    },
  },
  {
    // roi and scales became optional inputs. An empty tensor meant that they were absent.
    before: 13,
    apply(node) {
      const [x, roi, scales, sizes] = node.inputs;
      const crops = node.text("coordinate_transformation_mode") === "tf_crop_and_resize";
      node.setInputs([x, crops ? roi : null, sizes && isEmpty(scales) ? null : scales, sizes]);
      // tf_half_pixel_for_nn is (x + 0.5) / scale rounded down: half_pixel rounded to the nearest.
      if (
        node.text("coordinate_transformation_mode") === "tf_half_pixel_for_nn" &&
        node.text("nearest_mode") === "floor"
      ) {
        node.set("coordinate_transformation_mode", { type: "string", value: "half_pixel" });
        node.set("nearest_mode", { type: "string", value: "round_prefer_ceil" });
      }
      return node;
    },
  },
];

/** The attribute `scales` became an input in 9; Resize replaced Upsample in 10. */
export const upsample: readonly Adapter[] = [
  {
    before: 9,
    apply(node) {
      const scales = node.attributes.scales;
      if (scales?.type !== "floats") throw new Error("its scales are missing");
      node.set("scales", null);
      node.setInput(1, around(node).constant(scales.value, { name: "scales" }));
      return node;
    },
  },
  { before: 10, apply: (node) => become(node, "Resize", [...node.inputs], node.attributes) },
];
