/** @file Coupling of layers with weights, whose outputs are rows and whose inputs are summed. */
import type { Node } from "../../ir/graph.ts";
import { type CouplingRule, type CouplingRules, mod } from "./rule.ts";

function setGroups(node: Node, groups: number): void {
  node.set("group", { type: "int", value: groups });
}

/**
 * y[n, (g, o)] = sum_i w[(g, o), i] * x[n, (g, i)], with channels of x and rows of w as products of
 * groups g and indices within a group. Without groups, x and the second axis of w are one axis.
 */
const conv: CouplingRule = {
  tie(node, t) {
    t.same(t.in(0, 0), t.out(0, 0));
    t.same(t.in(1, 0), t.out(0, 1));
    if (node.inputs[2]) t.same(t.in(2, 0), t.out(0, 1));
    const [x, rows, inner] = [t.in(0, 1), t.in(1, 0), t.in(1, 1)];
    const groups = node.int("group", 1);
    if (!x || !rows || !inner) return;
    t.sum(...(groups === 1 ? [x, inner] : [inner]));
    const group = t.fresh(groups);
    t.product(x, [group, inner]);
    t.product(rows, [group, t.fresh(rows.size / groups)]);
  },
  resize(node, kept) {
    const [x, w] = node.inputs;
    if (x && w && node.int("group", 1) > 1) setGroups(node, kept.count(x, 1) / kept.count(w, 1));
  },
};

/**
 * The weight is [inputs, outputs / groups, ...kernel]: x is (group, input), y is (group, output).
 */
const convTranspose: CouplingRule = {
  tie(node, t) {
    t.same(t.in(0, 0), t.out(0, 0));
    if (node.inputs[2]) t.same(t.in(2, 0), t.out(0, 1));
    const [x, y, rows, columns] = [t.in(0, 1), t.out(0, 1), t.in(1, 0), t.in(1, 1)];
    const groups = node.int("group", 1);
    if (!x || !y || !rows || !columns) return;
    t.same(x, rows);
    const group = t.fresh(groups);
    const inner = t.fresh(rows.size / groups);
    t.sum(x, rows);
    t.product(rows, [group, inner]);
    t.product(y, [group, columns]);
  },
  resize(node, kept) {
    const w = node.inputs[1];
    if (w && node.int("group", 1) > 1)
      setGroups(node, kept.count(node.output, 1) / kept.count(w, 1));
  },
};

/**
 * [..., rows, inner] by [..., inner, columns]: sums over inner. Vectors have no rows or no columns.
 */
const matMul: CouplingRule = {
  tie(node, t) {
    const [left, right] = [t.rank(0), t.rank(1)];
    const rank = node.output.shape?.length ?? 0;
    const [a, b] = [t.in(0, -1), t.in(1, right === 1 ? 0 : -2)];
    t.sum(a, b);
    t.same(a, b);
    if (left > 1) t.same(t.in(0, -2), t.out(0, right === 1 ? -1 : -2));
    if (right > 1) t.same(t.in(1, -1), t.out(0, -1));
    for (const [i, own] of [left, right].entries()) {
      for (let axis = 3; axis <= own; axis++) {
        const other = i === 0 ? right : left;
        t.meet(t.in(i, -axis), t.out(0, rank - (other === 1 ? axis - 1 : axis)));
      }
    }
  },
};

/** Y = A' B' + C with A' and B' possibly transposed; C is broadcast to Y. */
const gemm: CouplingRule = {
  tie(node, t) {
    const [p, q] = [node.int("transA", 0), node.int("transB", 0)];
    const [a, b] = [t.in(0, 1 - p), t.in(1, q)];
    t.sum(a, b);
    t.same(a, b);
    t.same(t.in(0, p), t.out(0, 0));
    t.same(t.in(1, 1 - q), t.out(0, 1));
    for (let axis = 1; axis <= t.rank(2); axis++) t.meet(t.in(2, -axis), t.out(0, 2 - axis));
  },
};

/**
 * The input's features may shrink. The state may not: at every step each of its elements feeds the
 * gates of all of them.
 */
const recurrent: CouplingRule = {
  tie(_, t) {
    const [x, w] = [t.in(0, 2), t.in(1, 2)];
    t.sum(x, w);
    t.same(x, w);
    const why = "feeds its state back to all of its gates";
    for (const side of [t.in(1, 1), t.in(2, 1), t.in(2, 2), t.out(0, 3), t.out(1, 2)])
      t.pin(side, why);
  },
};

/**
 * Scale, bias, mean and variance have one element per channel, as inputs or (in
 * training) as outputs.
 */
const perChannel = (axis: number): CouplingRule => ({
  tie(node, t) {
    for (const i of [0, axis]) t.same(t.in(0, i), t.out(0, i));
    for (let i = 1; i < node.inputs.length; i++) t.same(t.in(i, 0), t.in(0, axis));
    for (let i = 1; i < node.outputs.length; i++) t.same(t.out(i, 0), t.in(0, axis));
  },
});

/** Statistics over the axes from `axis` on: without some of the indices they would be others. */
const overLast: CouplingRule = {
  tie(node, t) {
    const rank = t.rank(0);
    const first = mod(node.int("axis", -1), rank);
    for (let axis = 0; axis < first; axis++) {
      for (const i of node.outputs.keys()) t.same(t.in(0, axis), t.out(i, axis));
    }
    for (let axis = first; axis < rank; axis++) {
      for (const side of [t.in(0, axis), t.out(0, axis)])
        t.pin(side, "takes its mean over all channels");
    }
  },
};

/**
 * Channels are (group, channel). Statistics are computed over a group, so that only whole
 * groups can be removed.
 */
const groupNorm: CouplingRule = {
  tie(node, t) {
    const groups = node.int("num_groups", 1);
    const [x, y] = [t.in(0, 1), t.out(0, 1)];
    t.same(t.in(0, 0), t.out(0, 0));
    t.same(x, y);
    for (const i of [1, 2]) t.same(t.in(i, 0), x);
    if (!x) return;
    const inner = t.fresh(x.size / groups);
    t.pin(inner, "takes its mean over whole groups of channels");
    t.product(x, [t.fresh(groups), inner]);
  },
  resize(node, kept) {
    const [x] = node.inputs;
    const size = Number(x?.shape?.[1]) / node.int("num_groups", 1);
    if (x) node.set("num_groups", { type: "int", value: kept.count(x, 1) / size });
  },
};

/**
 * Windows slide over the spatial axes, channel by channel. MaxPool's second output numbers elements
 * across channels, and pins them.
 */
const pool: CouplingRule = {
  tie(node, t) {
    for (const axis of [0, 1]) t.same(t.in(0, axis), t.out(0, axis));
    if (node.outputs[1]?.uses.size) t.pin(t.in(0, 1), "numbers its elements across channels");
  },
};

/**
 * Reductions over axes. In a sum removed indices count as zero; any other reduction
 * needs all of them.
 */
const reduce = (isSum: boolean): CouplingRule => ({
  tie(node, t) {
    const rank = t.rank(0);
    const given = node.inputs[1] ? t.ints(1) : [];
    if (!given) return;
    const isAll = given.length === 0 && node.int("noop_with_empty_axes", 0) === 0;
    const gone = isAll ? [...Array(rank).keys()] : given.map((axis) => mod(axis, rank));
    const keeps = node.int("keepdims", 1) === 1;
    let to = 0;
    for (let axis = 0; axis < rank; axis++) {
      const side = t.in(0, axis);
      if (!gone.includes(axis)) t.same(side, t.out(0, to++));
      else {
        if (isSum) t.sum(side);
        else t.pin(side, "needs all of its channels");
        if (keeps) t.free(t.out(0, to++));
      }
    }
  },
});

const [sums, others] = [reduce(true), reduce(false)];

export const couplingLayers: CouplingRules = {
  AveragePool: pool,
  BatchNormalization: perChannel(1),
  Conv: conv,
  ConvTranspose: convTranspose,
  Gemm: gemm,
  GlobalAveragePool: pool,
  GlobalLpPool: pool,
  GlobalMaxPool: pool,
  GroupNormalization: groupNorm,
  GRU: recurrent,
  InstanceNormalization: perChannel(1),
  LayerNormalization: overLast,
  LpPool: pool,
  LSTM: recurrent,
  MatMul: matMul,
  MaxPool: pool,
  ReduceL1: sums,
  ReduceL2: sums,
  ReduceLogSum: sums,
  ReduceLogSumExp: others,
  ReduceMax: others,
  ReduceMean: others,
  ReduceMin: others,
  ReduceProd: others,
  ReduceSum: sums,
  ReduceSumSquare: sums,
  RMSNormalization: overLast,
  RNN: recurrent,
};
