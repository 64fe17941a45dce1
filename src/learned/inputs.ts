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
import { inputsOf } from "./training.ts";

/**
 * Opens what the layers of these sites read, each value once; other readers get it as it is.
 * `latentOf` gets the range in which rounding to that many bits has the least squared error: what
 * learns should not start from the largest value, which may be far out.
 */
export async function openInputs<P extends string>(
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
