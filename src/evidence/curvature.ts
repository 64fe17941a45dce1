/** @file Curvature: how much the network's outputs depend on each weight, by gradients. */

import type { Context } from "../context.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { tensor } from "../ir/tensor.ts";
import type { Builder } from "../ops/builder.ts";
import type { StepFeed } from "../weights/latent.ts";
import type { ThetaSite } from "../weights/sites.ts";

/**
 * Factor of the projection r . y in the loss. The training step also has a loss between the model
 * and its teacher, which is small beside this even if earlier steps of a recipe moved the outputs.
 */
const SCALE = 64;

/**
 * For every site the diagonal h [weights] of the Hessian of |y - y0|^2 / 2, up to a common factor:
 *   h_i = E sum_k (dy_k / dw_i)^2
 * where the network still gives y0 (the approximation of LeCun et al. 1990). Null for weights
 * without a gradient.
 *
 * With a random vector r of E[r r^T] = I / 2 the squared gradient of r . y is h / 2 on
 * average, so one backward pass per record is enough. `records` is the number of records;
 * weights do not change.
 */
export async function curvatures(
  model: Model,
  sites: readonly Pick<ThetaSite, "value" | "weight">[],
  records: number,
  context: Context,
): Promise<(Float64Array | null)[]> {
  const sums = sites.map(({ weight }) => new Float64Array(weight.values.length));
  const passes = await probe(model, sites, records, context, (i, gradient) => {
    const sum = sums[i];
    for (let k = 0; k < sum.length; k++) sum[k] += gradient[k] ** 2;
  });
  return sums.map((sum, i) => {
    const count = passes.get(i);
    return count ? sum.map((x) => x / count) : null;
  });
}

/**
 * Calls `visit` with the gradient of r . y by the weights of each site, record by record, and site
 * by site within a record. `gradient` is reused after the call. Returns how often each site that has
 * a gradient was visited, by its index. Rejects as `context.train` does, with TersorError
 * "needs-training" for one.
 */
export async function probe(
  model: Model,
  sites: readonly Pick<ThetaSite, "value" | "weight">[],
  records: number,
  context: Context,
  visit: (site: number, gradient: Float32Array) => void,
): Promise<Map<number, number>> {
  const twins = new Map<Value, Value>();
  const copy: Model = { ...model, graph: cloneGraph(model.graph, twins) };
  const siteOf = new Map<Value, number>();
  for (const [i, { value, weight }] of sites.entries()) {
    const twin = twins.get(value) as Value;
    const { graph } = twin;
    const plain = graph.addConstant(value.name, tensor("float32", weight.shape, weight.values));
    graph.replace(twin, plain);
    siteOf.set(plain, i);
  }
  const passes = new Map<number, number>();
  await context.train(
    copy,
    { loss: "logits", optimizer: "sgd", steps: records, batch: 1, holdout: 0, batchnorm: "frozen" },
    {
      isProbe: true,
      feeds: { tersor_wave: wave },
      penalty: (g, { outputs }, feeds) => project(g, outputs, feeds.tersor_wave),
      beforeUpdate(gradient, _, { parameters }) {
        for (const { value, offset, size } of parameters) {
          const site = value ? siteOf.get(value) : undefined;
          if (site === undefined) continue;
          passes.set(site, (passes.get(site) ?? 0) + 1);
          visit(site, gradient.subarray(offset, offset + size));
        }
        gradient.fill(0);
      },
    },
  );
  return passes;
}

/**
 * Two random numbers a, b in [0, 2 pi) for each step: r_k = sin(a + b k) is a vector of any length
 * whose elements are uncorrelated.
 */
const wave: StepFeed = {
  dtype: "float32",
  shape: [2],
  at: (_, random) =>
    tensor("float32", [2], [6.2831853 * random.float(), 6.2831853 * random.float()]),
};

/**
 * The sum over all float32 outputs y of r . y / sqrt(length of y), times SCALE: about as large as
 * y, however many elements it has.
 */
function project(g: Builder, outputs: readonly Value[], wave: Value): Value {
  const float32 = { to: dtypes.float32.code };
  const cut = (at: number): Value => g.Slice(wave, g.ints([at]), g.ints([at + 1]));
  const [zero, one] = [0, 1].map((x) => g.constant(x, { dtype: "int64" }));
  const sums = outputs
    .filter(({ dtype }) => dtype === null || dtype === "float32")
    .map((y) => {
      const size = g.Size(y);
      const places = g.Cast(g.Range(zero, size, one), float32);
      const r = g.Sin(g.Add(cut(0), g.Mul(cut(1), places)));
      const flat = g.Reshape(y, g.ints([-1], "shape"));
      const sum = g.ReduceSum(g.Mul(flat, r), null, { keepdims: 0 });
      return g.Div(sum, g.Sqrt(g.Cast(size, float32)));
    });
  const total = sums.reduce((a, b) => g.Add(a, b));
  return g.Mul(total, g.constant(SCALE));
}
