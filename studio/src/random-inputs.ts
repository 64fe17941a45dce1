/** @file How far outputs move on random inputs, for models without data. */
import {
  createRandom,
  type createTersor,
  type Keeper,
  type Loaded,
  type Metric,
  type Model,
  TersorError,
} from "tersor";
import type { Dims, Fidelity } from "./protocol.ts";

export interface Settings {
  readonly seed: number | undefined;
  readonly signal: AbortSignal;
  readonly keeper: Keeper;
  readonly dims: Dims;
}

/** How many records are drawn. */
const count = 32;
/** The name by which the records are asked for; `randomModule` stands for the file. */
const spec = "./random-inputs.mjs";

/** The records that the module of that name gives; set before it is read. */
let records: readonly { readonly inputs: Readonly<Record<string, Float32Array>> }[] = [];

/** Stands for importing a user's module of records, of which a page has none but this. */
export const randomModule = async (): Promise<unknown> => records;

/**
 * Compares two models on standard normal inputs. Null if their inputs are no float32 tensors of known
 * size per record, or if the outputs cannot be judged.
 */
export async function onRandomInputs(
  tersor: ReturnType<typeof createTersor>,
  product: Loaded,
  original: Loaded,
  settings: Settings,
): Promise<Fidelity | null> {
  const sizes = sizesOf(original.model, settings.dims);
  if (!sizes) return null;
  // The same seed gives the same records, so that the keeper may hold the original on them.
  const random = createRandom(settings.seed ?? 1).fork("studio");
  records = Array.from({ length: count }, () => ({
    inputs: Object.fromEntries(
      sizes.map(([name, size]) => [
        name,
        Float32Array.from({ length: size }, () => random.normal()),
      ]),
    ),
  }));
  try {
    const { metric } = await tersor.evaluate(product, {
      ...settings,
      data: spec,
      against: original,
      timingSeconds: 0.05,
    });
    return fidelityOf(metric, "random inputs");
  } catch (error) {
    // That these inputs cannot judge the model is no reason to lose the candidate.
    if (error instanceof TersorError && error.code !== "aborted") return null;
    throw error;
  }
}

/** A metric's figures that compare outputs with the original's; null where there are none. */
export function fidelityOf(metric: Metric | null, on: string): Fidelity | null {
  if (!metric || metric.sqnr === null) return null;
  return { on, error: 100 * 10 ** (-metric.sqnr / 20), flips: metric.flips, n: metric.n };
}

/** Numbers of a record for each input; null if an input is of another kind. */
function sizesOf({ graph }: Model, dims: Dims): [string, number][] | null {
  const sizes: [string, number][] = [];
  for (const { name, dtype, shape } of graph.inputs) {
    const known = shape?.map((dim, axis) =>
      typeof dim === "number" ? dim : (dims[`${name}.${axis}`] ?? dims[String(dim)]),
    );
    const [, ...rest] = known ?? [];
    if (!shape || dtype !== "float32" || rest.some((dim) => dim === undefined)) return null;
    sizes.push([name, (rest as number[]).reduce((size, dim) => size * dim, 1)]);
  }
  return sizes;
}
