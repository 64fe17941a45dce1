/** @file One step of LSTM, GRU and RNN as plain nodes, and their activations. */
import type { Node, Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import type { OpTable } from "../table.ts";
import { axisOf, scalar, unsupported } from "./rule.ts";

export type Activation = (g: Builder, x: Value) => Value;

/** The state [N, H] that a step passes to the next; c is the cell state of an LSTM. */
export interface State {
  readonly h: Value;
  readonly c: Value | null;
}

/** The parameters of one direction; gates lie side by side. */
export interface Parameters {
  readonly hidden: number;
  readonly activations: readonly Activation[];
  /** R^T [H, gates H], cut into the pieces that the cell multiplies by. */
  readonly recurrence: readonly Value[];
  /** The state's bias [H] of a GRU's last gate, if it is added before the reset; otherwise null. */
  readonly innerBias: Value | null;
  /** Peepholes of the gates i, o, f, each [H]; empty without any. */
  readonly peepholes: readonly Value[];
  clip(x: Value): Value;
}

/** One step: the next state from `input`, W x + b of all gates [N, gates H], and the state. */
export type Cell = (
  g: Builder,
  input: Value,
  state: State,
  parameters: Parameters,
  node: Node,
) => State;

/** Splits the last axis. */
export function cut(g: Builder, x: Value, sizes: readonly number[]): readonly Value[] {
  return g.many("Split", [x, g.ints(sizes, "gates")], {
    outputs: sizes.length,
    attributes: { axis: -1 },
  });
}

/**
 * Gates i, o, f, c: C = f C + i g(c), H = o h(C). Without peepholes the three sigmoid gates
 * are computed at once.
 */
const lstm: Cell = (g, input, { h, c }, parameters, node) => {
  const { hidden, activations, recurrence, peepholes, clip } = parameters;
  const [f, inner, outer] = activations;
  const cell = c as Value;
  const [first, last] = cut(g, g.Add(input, g.MatMul(h, recurrence[0])), [3 * hidden, hidden]);
  const isPeeping = peepholes.length > 0;
  const gates = cut(g, isPeeping ? first : f(g, clip(first)), [hidden, hidden, hidden]);
  const gate = (index: number, seen: Value): Value => {
    if (!isPeeping) return gates[index];
    return f(g, clip(g.Add(gates[index], g.Mul(peepholes[index], seen))));
  };
  const i = gate(0, cell);
  const forget = node.int("input_forget", 0) === 1 ? g.Sub(scalar(g, i, 1), i) : gate(2, cell);
  const next = g.Add(g.Mul(forget, cell), g.Mul(i, inner(g, clip(last))));
  return { h: g.Mul(gate(1, next), outer(g, next)), c: next };
};

/**
 * Gates z, r, h: H = (1 - z) g(h) + z H, where r multiplies the state before the product
 * with R or after it.
 */
const gru: Cell = (g, input, { h }, parameters) => {
  const { hidden, activations, recurrence, innerBias, clip } = parameters;
  const [f, inner] = activations;
  const sizes = [2 * hidden, hidden];
  const [xs, xh] = cut(g, input, sizes);
  const [weights, last] = recurrence;
  const product = g.MatMul(h, weights);
  const [hs, hh] = innerBias ? cut(g, product, sizes) : [product, null];
  const [z, r] = cut(g, f(g, clip(g.Add(xs, hs))), [hidden, hidden]);
  const damped = hh ? g.Mul(r, g.Add(hh, innerBias as Value)) : g.MatMul(g.Mul(r, h), last);
  const candidate = inner(g, clip(g.Add(xh, damped)));
  return { h: g.Add(candidate, g.Mul(z, g.Sub(h, candidate))), c: null };
};

const rnn: Cell = (g, input, { h }, { activations, recurrence, clip }) => ({
  h: activations[0](g, clip(g.Add(input, g.MatMul(h, recurrence[0])))),
  c: null,
});

/** What distinguishes the three operators. */
export interface Kind {
  readonly cell: Cell;
  readonly gates: number;
  /** How many gates each piece of the recurrence computes; all of them in one piece if left out. */
  readonly pieces?: readonly number[];
  readonly activations: readonly string[];
}

export const kinds = {
  LSTM: { cell: lstm, gates: 4, activations: ["sigmoid", "tanh", "tanh"] },
  GRU: { cell: gru, gates: 3, pieces: [2, 1], activations: ["sigmoid", "tanh"] },
  RNN: { cell: rnn, gates: 1, activations: ["tanh"] },
} satisfies OpTable<Kind>;

/** An activation, with defaults for those of alpha and beta that it takes. */
interface Named {
  readonly alpha?: number;
  readonly beta?: number;
  make(g: Builder, x: Value, alpha: number, beta: number): Value;
}

const named: Readonly<Record<string, Named>> = {
  affine: {
    alpha: 1,
    beta: 0,
    make: (g, x, alpha, beta) => g.Add(g.Mul(x, scalar(g, x, alpha)), scalar(g, x, beta)),
  },
  elu: { alpha: 1, make: (g, x, alpha) => g.Elu(x, { alpha }) },
  hardsigmoid: {
    alpha: 0.2,
    beta: 0.5,
    make: (g, x, alpha, beta) => g.HardSigmoid(x, { alpha, beta }),
  },
  leakyrelu: { alpha: 0.01, make: (g, x, alpha) => g.LeakyRelu(x, { alpha }) },
  relu: { make: (g, x) => g.Relu(x) },
  scaledtanh: {
    alpha: 1,
    beta: 1,
    make: (g, x, alpha, beta) => g.Mul(g.Tanh(g.Mul(x, scalar(g, x, beta))), scalar(g, x, alpha)),
  },
  sigmoid: { make: (g, x) => g.Sigmoid(x) },
  softplus: { make: (g, x) => g.Softplus(x) },
  softsign: { make: (g, x) => g.Softsign(x) },
  tanh: { make: (g, x) => g.Tanh(x) },
  thresholdedrelu: { alpha: 1, make: (g, x, alpha) => g.ThresholdedRelu(x, { alpha }) },
};

function listOf(node: Node, name: string): unknown[] {
  const attribute = node.attributes[name];
  return attribute?.type === "floats" || attribute?.type === "strings" ? [...attribute.value] : [];
}

/**
 * The activations of all directions in turn. Alphas and betas are assigned in order to those that
 * take one. Throws TersorError "no-gradient" for a name that is not known.
 */
export function activationsOf(node: Node, usual: readonly string[]): Activation[] {
  const names = listOf(node, "activations") as string[];
  const alphas = listOf(node, "activation_alpha") as number[];
  const betas = listOf(node, "activation_beta") as number[];
  const all = names.length > 0 ? names : [...usual, ...usual];
  return all.map((name) => {
    const found = named[name.toLowerCase()];
    if (!found) throw unsupported(node, `the activation "${name}"`);
    const alpha = found.alpha === undefined ? 0 : (alphas.shift() ?? found.alpha);
    const beta = found.beta === undefined ? 0 : (betas.shift() ?? found.beta);
    return (g, x) => found.make(g, x, alpha, beta);
  });
}

/** The slices along an axis, each without that axis. */
export function unstack(g: Builder, x: Value, axis: number, count: number): Value[] {
  const at = g.ints([axisOf(axis, x.shape?.length ?? 0)], "axis");
  const sizes = g.ints(new Array<number>(count).fill(1), "parts");
  const parts =
    count === 1 ? [x] : g.many("Split", [x, sizes], { outputs: count, attributes: { axis } });
  return parts.map((part) => g.Squeeze(part, at));
}
