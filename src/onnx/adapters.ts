/**
 * @file Adapters for what changed in ai.onnx from operator set 7 to 25, operator by operator.
 *
 * All versions in the schema history of onnx 1.23 were compared. No adapter is needed
 * where a version only
 * - allows more types or negative axes, or only changes its documentation (most of them);
 * - broadcasts where shapes had to be equal (Max, Min, Mean, Sum 8, PRelu 7, Gemm 7);
 * - adds an attribute whose default is the old behaviour: ArgMax/ArgMin 12, AveragePool 7, 10, 19,
 *   MaxPool 8, 10, LpPool 18, DepthToSpace 11, TopK 11, GatherND 12, Cast 19, CastLike 19,
 *   QuantizeLinear and DequantizeLinear 13 to 23, recurrent layers 14, Reshape 14, Shape 15,
 *   Scatter* 16, Resize 18;
 * - adds an optional input or makes one optional: Gemm 11, Pad 18, Attention 24 (new in 23).
 *
 * From 21 to 25 no operator changed its meaning.
 */
import type { DType } from "../ir/dtype.ts";
import { Graph, type Node, type Value } from "../ir/graph.ts";
import {
  type Adapter,
  type Adapters,
  around,
  attributeToInput,
  become,
  dropAttributes,
  type Facts,
  firstInput,
  spellDefault,
  without,
} from "./adapter.ts";
import {
  batchNormalization,
  coerced,
  dropout,
  groupNormalization,
  resize,
  upsample,
} from "./adapters-layers.ts";

/** A scalar of the type of `like`; where that type is not known, the graph converts it. */
function scalarLike(node: Node, facts: Facts, like: Value, value: number, name: string): Value {
  const g = around(node);
  const dtype: DType | null = facts.dtype(like);
  const scalar = g.constant(value, { dtype: dtype ?? "float32", name });
  return dtype ? scalar : g.CastLike(scalar, like);
}

/**
 * Scan 8 runs over axis 1 of every record of a batch; Scan 9 has no batch. The rewrite is an outer
 * Scan over the records, whose body is the old Scan over what is then axis 0.
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

/** The limits became inputs. -FLT_MAX and FLT_MAX, the old defaults, mean no limit. */
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

/** `pads` and `value` became inputs. */
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

/** `starts`, `ends` and `axes` became inputs. */
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

/** `axis` became an input. Its default was 1; it is -2 since operator set 20. */
const dft: Adapter = {
  before: 20,
  apply(node) {
    const axis = node.int("axis", 1);
    node.set("axis", null);
    node.setInput(2, around(node).constant(axis, { dtype: "int64", name: "axis" }));
    return node;
  },
};

/** The interpolation modes of GridSample that got other names. */
const gridModes: Readonly<Record<string, string>> = { bilinear: "linear", bicubic: "cubic" };

const gridSample: Adapter = {
  before: 20,
  apply(node) {
    const mode = node.text("mode", "bilinear");
    node.set("mode", { type: "string", value: gridModes[mode] ?? mode });
    return node;
  },
};

/** `k` became an input. */
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

/** A Split without sizes has equal parts, as many as outputs; since 18 an attribute says so. */
const splitEvenly: Adapter = {
  before: 18,
  apply(node) {
    if (!node.inputs[1]) node.set("num_outputs", { type: "int", value: node.outputs.length });
    return node;
  },
};

/** `axes` became an input of most reductions in 18. */
const reduceAxes = [attributeToInput(18, "axes", 1)];
/** `axes` became an input of ReduceSum, Squeeze and Unsqueeze in 13. */
const axesInput = [attributeToInput(13, "axes", 1)];
/** `output_sequence` was removed in 7. */
const unsequenced = [dropAttributes(7, "output_sequence")];

/** Adapters for operator sets from 7 on, by operator. */
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
