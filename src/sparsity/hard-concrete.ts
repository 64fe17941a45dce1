/** @file Hard concrete gates: an l0 penalty that has a gradient. */

import type { StepFeed, TrainHooks } from "../context.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { log } from "../numeric/log.ts";
import { type Builder, build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { type Site, storeWeight } from "../weights/sites.ts";

/** Stretch (gamma, zeta) and temperature of the paper. */
const [LOW, HIGH, BETA] = [-0.1, 1.1, 2 / 3];
/** log alpha = SPEED a: gates move faster than weights at the same rate. */
const SPEED = 20;
/** Gates start open with this log alpha: z = 1.2 sigmoid(3) - 0.1 is above 1. */
const OPEN = 3;

interface Gate {
  readonly site: Site;
  readonly a: Value;
  /** sigmoid(log alpha), where noise goes in while training. */
  readonly sigmoid: Value;
  readonly expression: Value;
}

/**
 * W = w z, z = min(1, max(0, (zeta - gamma) s + gamma)); s = sigmoid(log alpha) in the model, and
 * sigmoid((log u - log(1 - u) + log alpha) / beta) with uniform u while it learns. The penalty is the
 * probability that a gate is not shut, sum sigmoid(log alpha - beta log(-gamma / zeta)) (Louizos,
 * Welling, Kingma 2018, arXiv 1712.01312, eq. 10-13). `close` stores w z, zero where gates are shut.
 */
export function gatedWeights(
  sites: readonly Site[],
  strength: number,
): { readonly hooks: TrainHooks; readonly close: () => void } {
  const gates = sites.map(addGate);
  const noise = (i: number): string => `tersor_noise_${i}`;
  return {
    hooks: {
      extra: gates.map(({ a }) => a),
      feeds: Object.fromEntries(sites.map(({ weight }, i) => [noise(i), uniform(weight.shape)])),
      penalty(g, student, feeds) {
        const terms = gates.map(({ sigmoid }, i) => {
          const node = student.of(sigmoid).producer as Node;
          const alpha = node.inputs[0] as Value;
          const u = feeds[noise(i)];
          const logit = g.Sub(g.Log(u), g.Log(g.Sub(g.constant(1), u)));
          node.setInput(0, g.Div(g.Add(logit, alpha), g.constant(BETA)));
          const shift = g.constant(BETA * log(-LOW / HIGH));
          return g.ReduceSum(g.Sigmoid(g.Sub(alpha, shift)), null, { keepdims: 0 });
        });
        return g.Mul(
          terms.reduce((x, y) => g.Add(x, y)),
          g.constant(strength),
        );
      },
    },
    close() {
      for (const { site, expression } of gates) {
        const values = constantValue(expression)?.floats() as Float32Array;
        storeWeight({ ...site, value: expression }, { kind: "float", dtype: "float32", values });
      }
    },
  };
}

function addGate(site: Site): Gate {
  const { value, weight } = site;
  const g = build(value.graph);
  const start = new Float32Array(weight.values.length).fill(OPEN / SPEED);
  const a = g.constant(tensor("float32", weight.shape, start), { name: "gate" });
  const w = g.constant(tensor("float32", weight.shape, weight.values), { name: "weight" });
  const sigmoid = g.Sigmoid(g.Mul(a, fixed(g, SPEED)));
  const stretched = g.Add(g.Mul(sigmoid, fixed(g, HIGH - LOW)), fixed(g, LOW));
  const expression = g.Mul(w, g.Clip(stretched, fixed(g, 0), fixed(g, 1)));
  value.graph.replace(value, expression);
  if (value.tensor) value.graph.removeConstant(value);
  return { site, a, sigmoid, expression };
}

/** A number that is no float32 constant, which would learn. */
const fixed = (g: Builder, x: number): Value =>
  g.Cast(g.constant(x, { dtype: "float64" }), { to: dtypes.float32.code });

/** In (0, 1), ends excluded. */
function uniform(shape: readonly number[]): StepFeed {
  const size = shape.reduce((a, b) => a * b, 1);
  const draw = (random: { float(): number }) => () => 1e-6 + (1 - 2e-6) * random.float();
  return {
    spec: { dtype: "float32", shape },
    at: (_, random) => tensor("float32", shape, Float32Array.from({ length: size }, draw(random))),
  };
}
