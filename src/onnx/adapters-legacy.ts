/**
 * @file Adapters for what changed in ai.onnx from operator set 1 to 7: broadcasting as in Caffe2,
 * and attributes that were renamed or removed.
 */

import { type DType, dtypes } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { axisOf } from "../ops/evaluate/elements.ts";
import {
  type Adapter,
  type Adapters,
  around,
  become,
  dropAttributes,
  spellDefault,
  without,
} from "./adapter.ts";

/**
 * `axis` aligns the second operand with the first one's axes from there on. NumPy's broadcasting,
 * used since 7, aligns the last axes, so axes of size 1 are appended.
 */
const broadcast: readonly Adapter[] = [
  {
    before: 7,
    apply(node, facts) {
      const axis = node.int("axis");
      const wanted = node.int("broadcast", 0) === 1 && axis !== undefined;
      node.attributes = without(node.attributes, "axis", "broadcast");
      if (!wanted) return node;
      const [a, b] = node.inputs;
      const rank = facts.rank(a);
      const own = facts.rank(b);
      if (rank === null || own === null) {
        throw new Error("it broadcasts along an axis of a value of unknown rank");
      }
      const trailing = rank - own - axisOf(axis, rank);
      if (trailing <= 0) return node;
      const g = around(node);
      const axes = Array.from({ length: trailing }, (_, i) => own + i);
      node.setInput(1, g.Unsqueeze(b, g.ints(axes, "axes")));
      return node;
    },
  },
];

/** A slope per channel, [C], belongs to axis 1 of the input: [C] -> [C, 1, ..]. */
const prelu: Adapter = {
  before: 7,
  apply(node, facts) {
    const [x, slope] = node.inputs;
    const rank = facts.rank(x);
    if (facts.rank(slope) !== 1 || facts.shape(slope)?.[0] === 1) return node;
    if (rank === null) throw new Error("its input's rank is unknown");
    if (rank <= 2) return node;
    const g = around(node);
    const axes = Array.from({ length: rank - 2 }, (_, i) => i + 1);
    node.setInput(1, g.Unsqueeze(slope, g.ints(axes, "axes")));
    return node;
  },
};

/** `shape` became an input. */
const reshape: Adapter = {
  before: 5,
  apply(node) {
    const shape = node.ints("shape");
    node.set("shape", null);
    if (shape) node.setInput(1, around(node).ints(shape, "shape"));
    return node;
  },
};

/** Tile(x, tiles, axis) -> Tile(x, [1, .., tiles, .., 1]) */
const tile: Adapter = {
  before: 6,
  apply(node, facts) {
    const [x, tiles, axis] = node.inputs;
    const rank = facts.rank(x);
    if (!tiles?.tensor || !axis?.tensor || rank === null) {
      throw new Error("its tiles, axis or rank are not known before it runs");
    }
    const repeats = new Array<number>(rank).fill(1);
    repeats[axis.tensor.numbers()[0]] = tiles.tensor.numbers()[0];
    node.setInputs([x, around(node).ints(repeats, "repeats")]);
    return node;
  },
};

/** `to` was the name of a type in capitals. These names differ from those of DType. */
const castNames: Readonly<Record<string, DType>> = { float: "float32", double: "float64" };

const cast: Adapter = {
  before: 6,
  apply(node) {
    const name = node.text("to", "").toLowerCase();
    const dtype = castNames[name] ?? name;
    if (!Object.hasOwn(dtypes, dtype)) throw new Error(`it casts to "${name}"`);
    node.set("to", { type: "int", value: dtypes[dtype as DType].code });
    return node;
  },
};

/** `paddings` was renamed to `pads`. */
const pad: Adapter = {
  before: 2,
  apply(node) {
    const paddings = node.attributes.paddings;
    node.set("paddings", null);
    if (paddings) node.set("pads", paddings);
    return node;
  },
};

/** Two scales, of height and width, became one for each axis of [N, C, H, W]. */
const upsample: Adapter = {
  before: 7,
  apply(node) {
    const height = node.float("height_scale", 1);
    const width = node.float("width_scale", 1);
    node.attributes = without(node.attributes, "height_scale", "width_scale");
    node.set("scales", { type: "floats", value: [1, 1, height, width] });
    return node;
  },
};

/**
 * `is_test` was removed in 7. With is_test = 0 and several outputs a node is in training. With one
 * output it ran as inference in every engine, whatever the flag.
 */
const trainingFlag = (node: Node): Node => {
  const training = node.int("is_test", 0) === 0;
  node.set("is_test", null);
  if (!training && node.outputs.length > 1) {
    return become(node, node.op, [...node.inputs], node.attributes, node.outputs.slice(0, 1));
  }
  return node;
};

/** `p` was a float. */
const integerP: Adapter = {
  before: 2,
  apply(node) {
    const p = node.float("p");
    if (p !== undefined) node.set("p", { type: "int", value: Math.round(p) });
    return node;
  },
};

const float = (value: number) => ({ type: "float", value }) as const;
const untested: readonly Adapter[] = [{ before: 7, apply: trainingFlag }];

/**
 * Adapters for operator sets before 7, which are applied before the modern ones. The attribute
 * `consumed_inputs`, which was removed in 6, is dropped from every operator by upgrade.ts.
 */
export const legacyAdapters: Adapters = {
  Add: broadcast,
  And: broadcast,
  BatchNormalization: untested,
  Cast: [cast],
  Concat: [spellDefault(4, "axis", { type: "int", value: 1 })],
  Div: broadcast,
  Dropout: [dropAttributes(7, "is_test")],
  Equal: broadcast,
  Gemm: [dropAttributes(7, "broadcast")],
  GlobalLpPool: [integerP],
  Greater: broadcast,
  Less: broadcast,
  LpPool: [integerP],
  Mul: broadcast,
  Or: broadcast,
  PRelu: [prelu],
  Pad: [pad],
  Pow: broadcast,
  Reshape: [reshape],
  Selu: [spellDefault(6, "alpha", float(1.6732)), spellDefault(6, "gamma", float(1.0507))],
  Sub: broadcast,
  Tile: [tile],
  Upsample: [upsample],
  Xor: broadcast,
};
