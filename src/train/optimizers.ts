/** @file Optimizers over flat vectors: new parameters and state from a gradient, in float64 arithmetic. */

export interface Hyper {
  readonly momentum: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** What an optimizer remembers; saved with checkpoints. */
export interface OptimizerState {
  /** Vectors as long as the parameters. */
  readonly slots: readonly Float32Array[];
  /** beta1^t and beta2^t (Adam): running products, so that a resumed run has the very same bits. */
  readonly scalars: Float64Array;
}

/** Elements [from, to) share a learning rate and a decay. */
export interface Segment {
  readonly from: number;
  readonly to: number;
  readonly rate: number;
  readonly decay: number;
}

type Update = (
  parameters: Float32Array,
  gradient: Float32Array,
  state: OptimizerState,
  segments: readonly Segment[],
  hyper: Hyper,
) => void;

interface Optimizer {
  readonly slots: number;
  readonly update: Update;
}

/** v <- mu v + g; p <- p - lr v, Nesterov: p - lr (g + mu v), as PyTorch writes it. */
const sgd =
  (nesterov: boolean): Update =>
  (p, g, { slots: [v] }, segments, { momentum }) => {
    for (const { from, to, rate, decay } of segments) {
      for (let i = from; i < to; i++) {
        const slope = g[i] + decay * p[i];
        const speed = momentum * v[i] + slope;
        v[i] = speed;
        p[i] -= rate * (nesterov ? slope + momentum * speed : speed);
      }
    }
  };

/**
 * Adam (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1) with the decay in the gradient, or
 * `decoupled` from it: AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101).
 */
const adam =
  (decoupled: boolean): Update =>
  (p, g, { slots: [m, v], scalars }, segments, { momentum, beta2, epsilon }) => {
    scalars[0] *= momentum;
    scalars[1] *= beta2;
    // m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), with its divisions taken out of the loop.
    const root = 1 / Math.sqrt(1 - scalars[1]);
    const share = 1 / (1 - scalars[0]);
    for (const { from, to, rate, decay } of segments) {
      for (let i = from; i < to; i++) {
        const slope = decoupled ? g[i] : g[i] + decay * p[i];
        const first = momentum * m[i] + (1 - momentum) * slope;
        const second = beta2 * v[i] + (1 - beta2) * slope * slope;
        m[i] = first;
        v[i] = second;
        const step = (share * first) / (Math.sqrt(second) * root + epsilon);
        p[i] -= rate * (decoupled ? step + decay * p[i] : step);
      }
    }
  };

export const optimizers = {
  sgd: { slots: 1, update: sgd(false) },
  nesterov: { slots: 1, update: sgd(true) },
  adam: { slots: 2, update: adam(false) },
  adamw: { slots: 2, update: adam(true) },
} as const satisfies Record<string, Optimizer>;

export type OptimizerId = keyof typeof optimizers;

export function startState(id: OptimizerId, size: number): OptimizerState {
  const slots = Array.from({ length: optimizers[id].slots }, () => new Float32Array(size));
  return { slots, scalars: Float64Array.of(1, 1) };
}

/** Euclidean length, summed in order. */
export function norm(vector: Float32Array, from = 0, to = vector.length): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += vector[i] * vector[i];
  return Math.sqrt(sum);
}

/** Scales the gradient down to length `limit` (Pascanu et al. 2013, arXiv 1211.5063). */
export function clip(gradient: Float32Array, length: number, limit: number): void {
  if (!(length > limit)) return;
  const factor = limit / length;
  for (let i = 0; i < gradient.length; i++) gradient[i] *= factor;
}

/** average <- keep * average + (1 - keep) * parameters */
export function average(into: Float32Array, parameters: Float32Array, keep: number): void {
  for (let i = 0; i < into.length; i++) into[i] = keep * into[i] + (1 - keep) * parameters[i];
}
