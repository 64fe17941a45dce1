/** @file Evaluation of LSTM, GRU and RNN, step by step. */
import type { Node } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { sigmoid } from "./activation.ts";
import { type EvaluateRule, type EvaluateRules, list, optional, product } from "./elements.ts";
import { spend } from "./work.ts";

type Activation = (x: number) => number;

/** Activations that have a parameter alpha, and those that have beta. */
const takesAlpha = ["affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu"];
const takesBeta = ["affine", "hardsigmoid", "scaledtanh"];

/**
 * For each activation its alpha (or beta): the values are assigned in order to those that take one.
 */
function dealt(
  names: readonly string[],
  takers: readonly string[],
  values: readonly number[],
): (number | undefined)[] {
  const rest = [...values];
  return names.map((name) => (takers.includes(name.toLowerCase()) ? rest.shift() : undefined));
}

function activation(
  name: string,
  alpha: number | undefined,
  beta: number | undefined,
): Activation | null {
  const a = (otherwise: number): number => alpha ?? otherwise;
  const table: Readonly<Record<string, Activation>> = {
    affine: (x) => a(1) * x + (beta ?? 0),
    elu: (x) => (x < 0 ? a(1) * Math.expm1(x) : x),
    hardsigmoid: (x) => Math.min(1, Math.max(0, a(0.2) * x + (beta ?? 0.5))),
    leakyrelu: (x) => (x < 0 ? a(0.01) * x : x),
    relu: (x) => Math.max(0, x),
    scaledtanh: (x) => a(1) * Math.tanh((beta ?? 1) * x),
    sigmoid,
    softplus: (x) => Math.log1p(Math.exp(x)),
    softsign: (x) => x / (1 + Math.abs(x)),
    tanh: Math.tanh,
    thresholdedrelu: (x) => (x > a(1) ? x : 0),
  };
  const key = name.toLowerCase();
  return Object.hasOwn(table, key) ? table[key] : null;
}

/** The state and the products of one time step of one sequence; h and c are changed in place. */
interface Step {
  readonly hidden: number;
  readonly activations: readonly Activation[];
  /** Row `row` of W x + b, b being the input's half of the bias. */
  fromInput(row: number): number;
  /** Row `row` of R h + b, b being the state's half of the bias, for the given state. */
  fromState(row: number, state: ArrayLike<number>): number;
  /** Peephole weight times cell state; LSTM only. */
  peephole(row: number, cell: number): number;
  readonly h: Float64Array;
  readonly c: Float64Array;
  clip(x: number): number;
}

type Cell = (step: Step, node: Node) => void;

/**
 * LSTM with gates in the order i, o, f, c and peepholes p (Hochreiter, Schmidhuber 1997):
 *   c = f * c + i * g(W_c x + R_c h + b_c),  h = o * k(c)
 */
const lstmCell: Cell = (step, node) => {
  const { hidden: H, activations, fromInput, fromState, peephole, clip, h, c } = step;
  const [f, g, k] = activations;
  const before = Float64Array.from(h);
  for (let j = 0; j < H; j++) {
    const sum = (gate: number): number => fromInput(gate * H + j) + fromState(gate * H + j, before);
    const i = f(clip(sum(0) + peephole(j, c[j])));
    const forget = node.int("input_forget", 0)
      ? 1 - i
      : f(clip(sum(2) + peephole(2 * H + j, c[j])));
    c[j] = forget * c[j] + i * g(clip(sum(3)));
    h[j] = f(clip(sum(1) + peephole(H + j, c[j]))) * k(c[j]);
  }
};

/**
 * GRU with gates in the order z, r, h (Cho et al. 2014, arXiv 1406.1078):
 *   h = (1 - z) * g(W_h x + R_h (r * h) + b_h) + z * h
 * With linear_before_reset r multiplies R_h h + b instead of h.
 */
const gruCell: Cell = (step, node) => {
  const { hidden: H, activations, fromInput, fromState, clip, h } = step;
  const [f, g] = activations;
  const before = Float64Array.from(h);
  const isLinear = node.int("linear_before_reset", 0) === 1;
  const gate = (k: number, j: number): number =>
    f(clip(fromInput(k * H + j) + fromState(k * H + j, before)));
  const reset = Float64Array.from({ length: H }, (_, j) => gate(1, j));
  const damped = before.map((v, j) => v * reset[j]);
  for (let j = 0; j < H; j++) {
    const z = gate(0, j);
    const row = 2 * H + j;
    const state = isLinear ? reset[j] * fromState(row, before) : fromState(row, damped);
    h[j] = (1 - z) * g(clip(fromInput(row) + state)) + z * before[j];
  }
};

/** h = f(W x + R h + b). */
const rnnCell: Cell = ({ hidden: H, activations, fromInput, fromState, clip, h }) => {
  const before = Float64Array.from(h);
  for (let j = 0; j < H; j++) h[j] = activations[0](clip(fromInput(j) + fromState(j, before)));
};

/** What distinguishes the three operators. */
interface Kind {
  readonly cell: Cell;
  readonly gates: number;
  readonly activations: readonly string[];
  readonly hasCell: boolean;
}

/**
 * Inputs: X, W, R, B, sequence_lens, initial_h and, for LSTM, initial_c and P (peepholes). Gives Y
 * for all steps, Y_h and, for LSTM, Y_c. Null for an activation that is not known.
 */
function recurrent({ cell, gates, activations: usual, hasCell }: Kind): EvaluateRule {
  return (inputs, node) => {
    const [x, w, r] = inputs;
    const isBatchFirst = node.int("layout", 0) === 1;
    const [time, batch] = isBatchFirst ? [x.shape[1], x.shape[0]] : [x.shape[0], x.shape[1]];
    const [directions, rows, width] = w.shape;
    const hidden = r.shape[2];
    const names = node.attributes.activations;
    const given = names?.type === "strings" ? names.value : [];
    const alphas = dealt(given, takesAlpha, floats(node, "activation_alpha"));
    const betas = dealt(given, takesBeta, floats(node, "activation_beta"));
    const [X, W, R, B] = [x, w, r, optional(inputs, 3)].map((t) => t?.numbers() ?? null);
    const lengths = optional(inputs, 4);
    const steps = lengths ? list(lengths) : new Array<number>(batch).fill(time);
    const [h0, c0, P] = [5, 6, 7].map((i) => optional(inputs, i)?.numbers() ?? null);
    const runs = steps.reduce((sum, count) => sum + count, 0) * directions;
    spend(product([time, directions, batch, hidden]) + runs * (1 + rows * (hidden + width)));
    const limit = node.float("clip") ?? Infinity;
    const all = new Float64Array(time * directions * batch * hidden);
    const [hs, cs] = [0, 0].map(() => new Float64Array(directions * batch * hidden));
    const stateAt = (d: number, n: number): number =>
      (isBatchFirst ? n * directions + d : d * batch + n) * hidden;
    for (let d = 0; d < directions; d++) {
      const functions = usual.map((name, k) => {
        const index = d * usual.length + k;
        return activation(given[index] ?? name, alphas[index], betas[index]);
      });
      if (functions.includes(null)) return null;
      const isBackward = d === 1 || node.text("direction", "forward") === "reverse";
      for (let n = 0; n < batch; n++) {
        const at = stateAt(d, n);
        const h = hs.subarray(at, at + hidden);
        const c = cs.subarray(at, at + hidden);
        for (let j = 0; j < hidden; j++) {
          h[j] = h0?.[at + j] ?? 0;
          c[j] = (hasCell && c0?.[at + j]) || 0;
        }
        for (let s = 0; s < steps[n]; s++) {
          const t = isBackward ? steps[n] - 1 - s : s;
          const from = (isBatchFirst ? n * time + t : t * batch + n) * width;
          const step: Step = {
            hidden,
            activations: functions as Activation[],
            h,
            c,
            clip: (v) => Math.min(limit, Math.max(-limit, v)),
            peephole: (row, value) => (P ? P[d * 3 * hidden + row] * value : 0),
            fromInput: (row) => {
              let sum = B?.[d * 2 * rows + row] ?? 0;
              const first = (d * rows + row) * width;
              for (let k = 0; k < width; k++) sum += (W?.[first + k] ?? 0) * (X?.[from + k] ?? 0);
              return sum;
            },
            fromState: (row, state) => {
              let sum = B?.[(d * 2 + 1) * rows + row] ?? 0;
              const first = (d * rows + row) * hidden;
              for (let k = 0; k < hidden; k++) sum += (R?.[first + k] ?? 0) * state[k];
              return sum;
            },
          };
          cell(step, node);
          const to = isBatchFirst
            ? ((n * time + t) * directions + d) * hidden
            : ((t * directions + d) * batch + n) * hidden;
          all.set(h, to);
        }
      }
    }
    const state = isBatchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
    const sequence = isBatchFirst
      ? [batch, time, directions, hidden]
      : [time, directions, batch, hidden];
    const results: Tensor[] = [tensor(x.dtype, sequence, all), tensor(x.dtype, state, hs)];
    if (hasCell) results.push(tensor(x.dtype, state, cs));
    return rows === gates * hidden ? results : null;
  };
}

function floats(node: Node, name: string): readonly number[] {
  const attribute = node.attributes[name];
  return attribute?.type === "floats" ? attribute.value : [];
}

export const recurrents = {
  GRU: recurrent({
    cell: gruCell,
    gates: 3,
    activations: ["sigmoid", "tanh"],
    hasCell: false,
  }),
  LSTM: recurrent({
    cell: lstmCell,
    gates: 4,
    activations: ["sigmoid", "tanh", "tanh"],
    hasCell: true,
  }),
  RNN: recurrent({ cell: rnnCell, gates: 1, activations: ["tanh"], hasCell: false }),
} satisfies EvaluateRules;
