/**
 * @file What changed in ai.onnx from operator set 7 to 25, operator by operator.
 *
 * Every version in the schema history was compared; those that only allow more types, or only word
 * the documentation anew, need nothing and are not listed. From 21 to 25 nothing changed meaning.
 */
import type { DType } from "../ir/dtype.ts";
import { Graph, type Node, type Value } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import {
  type Adapter,
  type Adapters,
  around,
  attributeToInput,
  become,
  dropAttributes,
  type Facts,
  spellDefault,
  without,
} from "./adapter.ts";

/** A scalar of the type of `like`, converted in the graph where that type is unknown. */
function scalarLike(node: Node, facts: Facts, like: Value, value: number, name: string): Value {
  const g = around(node);
  const dtype: DType | null = facts.dtype(like);
  const scalar = g.constant(value, { dtype: dtype ?? "float32", name });
  return dtype ? scalar : g.CastLike(scalar, like);
}

const firstInput = (node: Node): Value => {
  const [input] = node.inputs;
  if (!input) throw new Error("its first input is missing");
  return input;
};

/** Softmax before 13 works on [d0 * .. * d(axis-1), d(axis) * ..]: one axis only if the rest is 1. */
const coerced: Adapter = {
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

/** Dropout: `ratio` is an input since 12; a mask is bool since 10. */
const dropout: readonly Adapter[] = [
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

const batchNormalization: readonly Adapter[] = [
  {
    // spatial = 0: statistics per feature [C, D1 ..], so plain broadcasting does it.
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
    // More than one output meant training: Y, mean, var, saved_mean, saved_var.
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

const isEmpty = (value: Value | null | undefined): boolean => value?.tensor?.size === 0;

const resize: readonly Adapter[] = [
  {
    // 10 knew neither coordinate modes nor rounding: x_original = x / scale, rounded down, but up
    // where it shrinks (as ONNX Runtime does; the standard left it open).
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
    // roi and scales became optional: an empty tensor stood for "absent".
    before: 13,
    apply(node) {
      const [x, roi, scales, sizes] = node.inputs;
      const crops = node.text("coordinate_transformation_mode") === "tf_crop_and_resize";
      node.setInputs([x, crops ? roi : null, sizes && isEmpty(scales) ? null : scales, sizes]);
      // tf_half_pixel_for_nn, (x + 0.5) / scale rounded down, is half_pixel rounded to the nearest.
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

/** Scale and bias per group [G] became per channel [C]: each is repeated C / G times. */
const groupNormalization: Adapter = {
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

/** [a, b] -> [a, a, b, b] */
function repeat(values: Tensor, times: number): Tensor {
  if (!Number.isInteger(times)) throw new Error("its channels do not divide into its groups");
  const data = values.data();
  const wide = data.slice(0, 0).constructor as new (length: number) => typeof data;
  const array = new wide(data.length * times);
  for (let i = 0; i < array.length; i++) array[i] = data[Math.floor(i / times)];
  return tensor(values.dtype, [array.length], array);
}

/**
 * Scan 8 runs over axis 1 of every record of a batch; since 9 it knows no batch. So: an outer Scan
 * over the records, whose body is the old Scan over what is now axis 0.
 */
const scan: Adapter = {
  before: 9,
  apply(node) {
    const [lengths, ...inputs] = node.inputs;
    const body = node.attributes.body;
    if (lengths) throw new Error("it has sequence lengths, which no newer Scan takes");
    if (body?.type !== "graph") throw new Error("its body is missing");
    const records = new Graph("record");
    const inner = records.add(
      "Scan",
      inputs.map((input, i) => records.addInput(input?.name ?? `input_${i}`, null, null)),
      {
        name: `${node.name}/Scan`,
        outputs: node.outputs.map(({ name }) => name || "unused"),
        attributes: {
          body,
          num_scan_inputs: { type: "int", value: node.int("num_scan_inputs", 1) },
          ...(node.attributes.directions
            ? { scan_input_directions: node.attributes.directions }
            : {}),
        },
      },
    );
    records.setOutputs(inner.outputs);
    return become(node, "Scan", inputs, {
      body: { type: "graph", value: records },
      num_scan_inputs: { type: "int", value: inputs.length },
    });
  },
};

/** -FLT_MAX and FLT_MAX were the defaults: they say "no limit". */
const clip: Adapter = {
  before: 11,
  apply(node, facts) {
    for (const [index, name] of [
      [1, "min"],
      [2, "max"],
    ] as const) {
      const limit = node.float(name);
      node.set(name, null);
      if (limit === undefined || Math.abs(limit) >= 3.4028234e38) continue;
      node.setInput(index, scalarLike(node, facts, firstInput(node), limit, name));
    }
    return node;
  },
};

const pad: Adapter = {
  before: 11,
  apply(node, facts) {
    const value = node.float("value", 0);
    const pads = node.ints("pads");
    if (!pads) throw new Error("its pads are missing");
    node.attributes = without(node.attributes, "pads", "value");
    node.setInput(1, around(node).ints(pads, "pads"));
    if (value !== 0) {
      node.setInput(2, scalarLike(node, facts, firstInput(node), value, "constant_value"));
    }
    return node;
  },
};

const slice: Adapter = {
  before: 10,
  apply(node) {
    const g = around(node);
    for (const [i, name] of ["starts", "ends", "axes"].entries()) {
      const values = node.ints(name);
      if (values) node.setInput(i + 1, g.ints(values, name));
    }
    node.attributes = without(node.attributes, "starts", "ends", "axes");
    return node;
  },
};

/** Axis was an attribute that counted from the front by default; -2 is the default since. */
const dft: Adapter = {
  before: 20,
  apply(node) {
    const axis = node.int("axis", 1);
    node.set("axis", null);
    node.setInput(2, around(node).constant(axis, { dtype: "int64", name: "axis" }));
    return node;
  },
};

const gridModes: Readonly<Record<string, string>> = { bilinear: "linear", bicubic: "cubic" };

const gridSample: Adapter = {
  before: 20,
  apply(node) {
    const mode = node.text("mode", "bilinear");
    node.set("mode", { type: "string", value: gridModes[mode] ?? mode });
    return node;
  },
};

const topK: Adapter = {
  before: 10,
  apply(node) {
    const k = node.int("k");
    if (k === undefined) throw new Error("its k is missing");
    node.set("k", null);
    node.setInput(1, around(node).ints([k], "k"));
    return node;
  },
};

const upsample: readonly Adapter[] = [
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

/** Without sizes it splits evenly, into as many parts as it has outputs. */
const splitEvenly: Adapter = {
  before: 18,
  apply(node) {
    if (!node.inputs[1]) node.set("num_outputs", { type: "int", value: node.outputs.length });
    return node;
  },
};

const reduceAxes = [attributeToInput(18, "axes", 1)];
const axesInput = [attributeToInput(13, "axes", 1)];
const unsequenced = [dropAttributes(7, "output_sequence")];

export const modernAdapters: Adapters = {
  BatchNormalization: batchNormalization,
  Clip: [clip],
  DFT: [dft],
  Dropout: dropout,
  GRU: unsequenced,
  GridSample: [gridSample],
  GroupNormalization: [groupNormalization],
  Hardmax: [coerced],
  LSTM: unsequenced,
  LogSoftmax: [coerced],
  Pad: [pad],
  RNN: unsequenced,
  ReduceL1: reduceAxes,
  ReduceL2: reduceAxes,
  ReduceLogSum: reduceAxes,
  ReduceLogSumExp: reduceAxes,
  ReduceMax: reduceAxes,
  ReduceMean: reduceAxes,
  ReduceMin: reduceAxes,
  ReduceProd: reduceAxes,
  ReduceSum: axesInput,
  ReduceSumSquare: reduceAxes,
  Resize: resize,
  RoiAlign: [
    spellDefault(16, "coordinate_transformation_mode", {
      type: "string",
      value: "output_half_pixel",
    }),
  ],
  Scan: [scan],
  Scatter: [
    { before: 11, apply: (n) => become(n, "ScatterElements", [...n.inputs], n.attributes) },
  ],
  Slice: [slice],
  Softmax: [coerced],
  Split: [attributeToInput(13, "split", 1), splitEvenly],
  Squeeze: axesInput,
  TopK: [topK],
  Unsqueeze: axesInput,
  Upsample: upsample,
};
