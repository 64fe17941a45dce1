/** @file What layers read, on levels that are learned or fitted. */
import type { Context } from "../context.ts";
import { observeRanges } from "../evidence/ranges.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Range } from "../numeric/calibrate.ts";
import type { Builder } from "../ops/builder.ts";
import { type Latent, type Opened, open } from "../weights/latent.ts";
import type { ThetaSite } from "../weights/sites.ts";
import type { Levels } from "./step.ts";
import { endsOf, inputsOf } from "./training.ts";

/**
 * Opens what the layers of these sites read, each value once; other readers get it as it is.
 * `latentOf` gets the range in which rounding to that many bits has the least squared error: what
 * learns should not start from the largest value, which may be far out.
 */
async function openInputs<P extends string>(
  model: Model,
  sites: readonly ThetaSite[],
  bitsOf: (node: Node) => number,
  context: Context,
  latentOf: (range: Range, bits: number) => Latent<P>,
): Promise<Opened[]> {
  const readers = inputsOf(model, sites);
  const values = [...readers.keys()];
  const bitsAt = (value: Value): number => bitsOf(readers.get(value)?.[0] as Node);
  const opened: Opened[] = [];
  for (const bits of new Set(values.map(bitsAt))) {
    const own = values.filter((value) => bitsAt(value) === bits);
    const ranges = await observeRanges(model, own, { kind: "mse" }, context.observe, bits);
    for (const [value, range] of ranges) {
      const nodes = readers.get(value) as Node[];
      opened.push(open({ node: nodes[0], value, readers: nodes }, latentOf(range, bits)));
    }
  }
  return opened;
}

/** How many bits weights get, and what layers read (0: it stays float); both in the end layers. */
export interface LevelBits {
  readonly bits: number;
  readonly activations: number;
  readonly ends: number;
}

/** How a weight and an activation of so many bits are opened. */
export interface Openers<P extends string> {
  weight(site: ThetaSite, bits: number): Opened;
  input(range: Range, bits: number): Latent<P>;
  /** Default: the first and the last layer of the model. */
  readonly isEnd?: (node: Node) => boolean;
}

/** Opens the weights of these sites, then what their layers read. */
export async function openLevels<P extends string>(
  model: Model,
  sites: readonly ThetaSite[],
  { bits, activations, ends }: LevelBits,
  context: Context,
  { weight, input, isEnd = endsOf(model) }: Openers<P>,
): Promise<Opened[]> {
  const weights = sites.map((site) => weight(site, isEnd(site.node) ? ends : bits));
  if (activations === 0) return weights;
  const bitsAt = (node: Node): number => (isEnd(node) ? ends : activations);
  return [...weights, ...(await openInputs(model, sites, bitsAt, context, input))];
}

/** What an activation becomes after training: Clip -> QuantizeLinear -> DequantizeLinear in uint8. */
export const storedOn =
  ({ least, greatest }: Levels, s: number) =>
  (g: Builder, x: Value): Value => {
    const low = g.constant(Math.fround(least * s), { name: "low" });
    const high = g.constant(Math.fround(greatest * s), { name: "high" });
    const step = g.constant(s, { name: "scale" });
    const zero = g.constant(least < 0 ? 128 : 0, { dtype: "uint8", name: "zero_point" });
    return g.DequantizeLinear(g.QuantizeLinear(g.Clip(x, low, high), step, zero), step, zero);
  };
