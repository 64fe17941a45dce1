/** @file What a method does around the updates of a run of training, called by hand, without a run. */
import type { Context, Train, TrainHooks } from "../../src/context.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { type MethodId, methodOf } from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { parseOptions } from "../../src/options.ts";
import { flatten, laidOut, type Parameter, thetaIn } from "../../src/train/parameters.ts";
import type { StepGraph } from "../../src/train/step.ts";
import type { Latent } from "../../src/weights/latent.ts";

/** The hooks of a method, and the vector of its thetas as they start. */
export interface Hooked {
  readonly hooks: TrainHooks;
  readonly step: StepGraph;
  readonly parameters: Float32Array;
  /** A theta of the first layer in a vector like `parameters`: a view. */
  theta(name: string, vector?: Float32Array): Float32Array;
}

/** The hooks that method `id` gives to `context.train` for this model. */
export async function hooksOf(model: Model, id: MethodId, given: object): Promise<Hooked> {
  let hooks: TrainHooks = {};
  const train: Train = async (_, __, own = {}) => {
    hooks = own;
    return {} as never;
  };
  const context = { train, skip() {}, warn() {}, async progress() {} };
  const method = methodOf(id) as Method;
  const copy = cloneModel(model);
  inferModel(copy);
  const options = parseOptions(method.options, { ...given }, id);
  await method.apply(copy, options, context as unknown as Context);
  const layout = laidOut(
    (hooks.latents ?? []).flatMap(({ latent, node }) =>
      Object.entries(latent.theta).map(([name, theta]) => {
        const own = { value: null, latent, name, node, kind: "theta" } as const;
        const free = { keepsZeros: false, min: -Infinity, max: Infinity, rate: 1 };
        return { ...free, ...own, ...theta } satisfies Omit<Parameter, "offset" | "size">;
      }),
    ),
  );
  const parameters = flatten(layout);
  const first = hooks.latents?.[0].latent as Latent;
  return {
    hooks,
    step: { parameters: layout } as unknown as StepGraph,
    parameters,
    theta: (name, vector = parameters) => thetaIn(layout, first, name, vector) as Float32Array,
  };
}
