/** @file Unrolls LSTM, GRU and RNN to plain nodes, step by step, which have gradients. */
import { errors, fail } from "../../errors.ts";
import type { Graph, Node, Value } from "../../ir/graph.ts";
import { tensor } from "../../ir/tensor.ts";
import { type Builder, build } from "../builder.ts";
import { constantValue } from "../constant.ts";
import { inferNode } from "../infer.ts";
import { activationsOf, cut, type Kind, type State, unstack } from "./recurrent-cells.ts";
import { scalar, sizesOf } from "./rule.ts";

/**
 * Replaces a recurrent node by its steps; its outputs stay the same values. Throws TersorError
 * "no-gradient" if the length of the sequences is not known.
 */
export function unroll(graph: Graph, node: Node, kind: Kind): void {
  const g = build(graph, node.name, inferNode);
  const isBatchFirst = node.int("layout", 0) === 1;
  const [timeAxis, batchAxis] = isBatchFirst ? [1, 0] : [0, 1];
  /** The axis of directions in the states. */
  const stateAxis = isBatchFirst ? 1 : 0;
  const [x, w, r, b, lengths, h0, c0, p] = Array.from({ length: 8 }, (_, i) => node.inputs[i]);
  const steps = stepsOf(x as Value, timeAxis, node);
  const [directions, , hidden] = sizesOf(r as Value, node);
  const parts = (value: Value | null | undefined, axis = 0): Value[] | null =>
    value ? unstack(g, value, axis, directions) : null;
  const [ws, rs, bs, ps] = [parts(w), parts(r), parts(b), parts(p)];
  const [hs, cs] = [parts(h0, stateAxis), parts(c0, stateAxis)];
  const none = hs && cs ? null : zeros(g, x as Value, batchAxis, hidden);
  const activations = activationsOf(node, kind.activations);
  const isInside = insideOf(g, lengths, steps);
  const limit = node.float("clip");

  const runs = Array.from({ length: directions }, (_, d) => {
    const isLinear = node.int("linear_before_reset", 0) === 1;
    const { bias, inner } = biases(g, bs?.[d], kind, hidden, isLinear, x as Value);
    const turned = g.Transpose((rs as Value[])[d], { perm: [1, 0] });
    const pieces = inner ? null : kind.pieces?.map((count) => count * hidden);
    const parameters = {
      hidden,
      activations: activations.slice(d * kind.activations.length),
      recurrence: pieces ? cut(g, turned, pieces) : [turned],
      innerBias: inner,
      peepholes: ps ? thirds(g, ps[d], hidden) : [],
      clip: (value: Value): Value =>
        limit ? g.Clip(value, scalar(g, value, -limit), scalar(g, value, limit)) : value,
    };
    const product = g.MatMul(x as Value, g.Transpose((ws as Value[])[d], { perm: [1, 0] }));
    const inputs = unstack(g, bias ? g.Add(product, bias) : product, timeAxis, steps);
    let state: State = { h: (hs?.[d] ?? none) as Value, c: cs?.[d] ?? none };
    const outputs: Value[] = [];
    const isBackward = d === 1 || node.text("direction", "forward") === "reverse";
    for (let step = 0; step < steps; step++) {
      const t = isBackward ? steps - 1 - step : step;
      const next = kind.cell(g, inputs[t], state, parameters, node);
      const inside = isInside(t);
      outputs[t] = inside ? g.Where(inside, next.h, scalar(g, next.h, 0)) : next.h;
      state = inside ? held(g, inside, next, state) : next;
    }
    return { outputs, state };
  });

  const [y, yh, yc] = node.outputs;
  graph.remove(node);
  const finals = runs.map(({ state }) => state);
  const all = runs.map(({ outputs }) => joined(g, outputs, timeAxis));
  give(g, y, all, isBatchFirst ? 2 : 1);
  give(
    g,
    yh,
    finals.map(({ h }) => h),
    stateAxis,
  );
  give(
    g,
    yc,
    finals.map(({ c }) => c as Value),
    stateAxis,
  );
}

function stepsOf(x: Value, axis: number, node: Node): number {
  const steps = x.shape?.[axis];
  if (typeof steps === "number") return steps;
  const why = `${node.op} is unrolled for its gradient, and the length of its sequences is open`;
  const remedy = "Bind that dimension: --dims <name>=<steps>, or freeze below it: --freeze <glob>";
  throw fail(errors.noGradient(node.name, why, remedy));
}

/** The start state [N, H] of zeros. */
function zeros(g: Builder, x: Value, batchAxis: number, hidden: number): Value {
  const batch = x.shape?.[batchAxis];
  const dtype = x.dtype ?? "float32";
  if (typeof batch === "number") {
    const values = new Array<number>(batch * hidden).fill(0);
    return g.constant(values, { dtype, shape: [batch, hidden], name: "start" });
  }
  const rows = g.Shape(x, { start: batchAxis, end: batchAxis + 1 });
  const shape = g.Concat(rows, g.ints([hidden], "hidden"), { axis: 0 });
  return g.ConstantOfShape(shape, { value: tensor(dtype, [1], [0]) });
}

/**
 * The sum of both biases [gates H]. With linear_before_reset the state's bias of a GRU's last gate
 * is apart (`inner`), because it is added before the reset.
 */
function biases(
  g: Builder,
  b: Value | undefined,
  { gates }: Kind,
  hidden: number,
  isLinear: boolean,
  x: Value,
): { bias: Value | null; inner: Value | null } {
  const none = isLinear ? zeroVector(g, x, hidden) : null;
  if (!b) return { bias: null, inner: none };
  const rows = gates * hidden;
  const split = (sizes: readonly number[]): readonly Value[] =>
    g.many("Split", [b, g.ints(sizes, "sizes")], { outputs: sizes.length });
  if (!none) {
    const [input, state] = split([rows, rows]);
    return { bias: g.Add(input, state), inner: null };
  }
  const [input, state, inner] = split([rows, rows - hidden, hidden]);
  return { bias: g.Add(input, g.Concat(state, none, { axis: 0 })), inner };
}

const zeroVector = (g: Builder, x: Value, size: number): Value =>
  g.constant(new Array<number>(size).fill(0), { dtype: x.dtype ?? "float32", name: "zero" });

const thirds = (g: Builder, p: Value, hidden: number): readonly Value[] =>
  g.many("Split", [p, g.ints([hidden, hidden, hidden], "sizes")], { outputs: 3 });

/** For each time step, which sequences are long enough to reach it [N, 1]; null if all are. */
function insideOf(
  g: Builder,
  lengths: Value | null | undefined,
  steps: number,
): (t: number) => Value | null {
  if (!lengths) return () => null;
  const shortest = Math.min(steps, ...(constantValue(lengths)?.numbers() ?? [0]));
  const column = g.Unsqueeze(lengths, g.ints([1], "axes"));
  return (t) => {
    if (t < shortest) return null;
    return g.Greater(column, g.constant(t, { dtype: lengths.dtype ?? "int32", name: "t" }));
  };
}

/**
 * Sequences that have ended keep their state. In the backward direction they keep the start state
 * until their last element is reached.
 */
function held(g: Builder, inside: Value, next: State, before: State): State {
  const c = next.c && before.c ? g.Where(inside, next.c, before.c) : null;
  return { h: g.Where(inside, next.h, before.h), c };
}

/** The parts along a new axis. */
function joined(g: Builder, parts: readonly Value[], axis: number): Value {
  const at = g.ints([axis], "axes");
  const slices = parts.map((part) => g.Unsqueeze(part, at));
  return slices.length === 1 ? slices[0] : g.Concat(...slices, { axis });
}

/** The parts along a new axis, as the value that readers of the node know. */
function give(g: Builder, value: Value | undefined, parts: readonly Value[], axis: number): void {
  if (!value?.name) return;
  const joint = joined(g, parts, axis);
  inferNode(g.graph.add("Identity", [joint], { name: value.name, outputs: [value] }));
}
