/**
 * @file Activations on integers: each one in terms of the few that have kernels for uint8.
 *
 * No kernel of the engine looks levels up in a table of 256. But the same levels q of a value
 * x = s (q - z) can be read by a DequantizeLinear with another scale or zero point as another value:
 * with 2 s they are 2 x. Such a relabelling is fused into the kernel that reads it and costs nothing
 * (docs/engine.md, "Quantization").
 */
import type { Node, Value } from "../ir/graph.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import type { Builder } from "./builder.ts";
import { entryOf, type OpTable } from "./table.ts";

/** uint8 levels q and what they stand for: x = scale (q - zeroPoint). */
export interface Levels extends QuantParams {
  readonly q: Value;
}

/** How an operator y = f(x) of one input is computed on levels. */
export interface IntegerActivation {
  /** The largest |form(x) - f(x)| over all real x, before anything is rounded; 0 if it is f. */
  readonly error: number;
  /** The levels of y, where the form fixes them; otherwise they are calibrated. */
  readonly output?: (node: Node) => QuantParams;
  /**
   * The levels of x, where nothing else reads x: rounding to them, which saturates, does all that f
   * does.
   */
  readonly input?: (node: Node) => QuantParams;
  /** Whether the form is right for the node's attributes; always, if missing. */
  readonly when?: (node: Node) => boolean;
  /** The levels of y, which stand for `y`, from those of x. */
  levels(g: Builder, x: Levels, y: QuantParams, node: Node): Value;
}

/** Reads levels as floats, of the value that they stand for times `factor`. */
function read(g: Builder, { q, scale, zeroPoint }: Levels, factor = 1): Value {
  const s = g.constant(Math.fround(factor * scale), { name: "scale" });
  const z = g.constant(zeroPoint, { dtype: "uint8", name: "zero_point" });
  return like(q, g.DequantizeLinear(q, s, z), "float32");
}

/** q = saturate(round(x / scale) + zeroPoint) */
function round(g: Builder, x: Value, { scale, zeroPoint }: QuantParams): Value {
  const s = g.constant(scale, { name: "scale" });
  const z = g.constant(zeroPoint, { dtype: "uint8", name: "zero_point" });
  return like(x, g.QuantizeLinear(x, s, z), "uint8");
}

function like({ shape }: Value, value: Value, dtype: "float32" | "uint8"): Value {
  value.shape = shape;
  value.dtype = dtype;
  return value;
}

/** [0, 1] with both ends exact. */
const unit: QuantParams = { scale: Math.fround(1 / 255), zeroPoint: 0 };

/** -1, 0 and 1 are levels: 0, 127 and 254. Sigmoid never reaches level 255. */
const signed: QuantParams = { scale: Math.fround(2 / 254), zeroPoint: 127 };
const half: QuantParams = { scale: Math.fround(1 / 254), zeroPoint: 0 };

/** x -> x Sigmoid(factor x) */
const swish = (factor: (node: Node) => number): IntegerActivation["levels"] => {
  return (g, x, y, node) => {
    const gate = round(g, like(x.q, g.Sigmoid(read(g, x, factor(node))), "float32"), unit);
    return round(g, g.Mul(read(g, x), read(g, { q: gate, ...unit })), y);
  };
};

/**
 * The levels of x that are those of HardSigmoid(x) = max(0, min(1, alpha x + beta)) in `unit`:
 *   alpha s (q - z) + beta = q / 255  for  s = 1 / (255 alpha),  z = 255 beta.
 * Where 255 beta is no whole number, everything between the ends is off by its rounding, half a
 * level for beta = 1/2. Levels of 1/256 or 1/254 would be exact there but not at 1, which is worse
 * in x HardSigmoid(x): there the error is multiplied by the largest x.
 */
const ramp = (alpha: number, beta: number): QuantParams => ({
  scale: Math.fround(1 / (255 * alpha)),
  zeroPoint: Math.round(255 * beta),
});

const slopeOf = (node: Node): readonly [alpha: number, beta: number] => [
  node.float("alpha", 0.2),
  node.float("beta", 0.5),
];

/**
 * The levels of x in other ones, at whose ends they saturate. LeakyRelu of slope 1 is the engine's
 * only kernel that does nothing but round anew.
 */
function roundAnew(g: Builder, x: Levels, to: QuantParams): Value {
  if (x.scale === to.scale && x.zeroPoint === to.zeroPoint) return x.q;
  return round(g, like(x.q, g.LeakyRelu(read(g, x), { alpha: 1 }), "float32"), to);
}

/**
 * HardSwish has no entry: two integer kernels (`roundAnew` and a product) were no faster in wasm
 * than its one node in float between conversions, and hardly faster natively (docs/engine.md).
 */
const activations: OpTable<IntegerActivation> = {
  // x Phi(x) ~ x Sigmoid(1.702 x) (Hendrycks & Gimpel, arXiv 1606.08415, section 2)
  Gelu: { error: 0.0204, levels: swish(() => 1.702) },
  HardSigmoid: {
    error: 0,
    when: (node) => {
      const [alpha, beta] = slopeOf(node);
      return alpha > 0 && beta >= 0 && beta <= 1;
    },
    output: () => unit,
    input: (node) => ramp(...slopeOf(node)),
    levels: (g, x, _, node) => roundAnew(g, x, ramp(...slopeOf(node))),
  },
  // tanh(x) = 2 Sigmoid(2 x) - 1
  Tanh: {
    error: 0,
    output: () => signed,
    levels: (g, x) => round(g, like(x.q, g.Sigmoid(read(g, x, 2)), "float32"), half),
  },
  "com.microsoft:QuickGelu": {
    error: 0,
    levels: swish((node) => node.float("alpha", 1.702)),
  },
};

/** How the node is computed on levels; null for operators that are not in the table. */
export function integerActivationOf(node: Node): IntegerActivation | null {
  const found = entryOf(activations, node);
  return found && (found.when?.(node) ?? true) ? found : null;
}
