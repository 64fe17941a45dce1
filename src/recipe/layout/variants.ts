/** @file The files of one model, one for each dtype: made, compared with the float one, timed. */
import { batches, type Dataset, subset } from "../../data/dataset.ts";
import { errors, fail, TersorError } from "../../errors.ts";
import type { Model } from "../../ir/model.ts";
import { createFidelity, lowFidelity } from "../../measure/fidelity.ts";
import type { Metric } from "../../measure/measurement.ts";
import type { Platform } from "../../platform.ts";
import type { Session } from "../../runtime/runtime.ts";
import { applyRecipe } from "../apply.ts";
import { assess, assessBaseline, packedOf } from "../assess.ts";
import { type BenchRun, bench } from "../bench.ts";
import type { Environment } from "../environment.ts";
import type { Loaded } from "../load.ts";
import { prepare, type Settings } from "../prepare.ts";
import { parseRecipe } from "../steps.ts";
import { simplify, sourceOf } from "../trial.ts";
import { drawnRecords, oneWord } from "./drawn.ts";
import { type Dtype, type DtypeName, dtypes } from "./dtypes.ts";

/** Where a variant is timed: transformers.js's devices that an engine here stands for. */
export const devices = { cpu: "node", wasm: "web" } as const;
export type Device = keyof typeof devices;

/** The time of one run beside the float file's. */
export type Speed = Pick<BenchRun, "latency" | "ratio" | "ci95">;

export interface Variant {
  readonly dtype: DtypeName;
  readonly recipe: string | null;
  readonly model: Model;
  /** Signal-to-quantization-noise ratio of the worst output, dB; null where nothing was compared. */
  readonly sqnr: number | null;
  /** On the user's records; null without data. */
  readonly metric: Metric | null;
  /** Null where it was not timed; a text where the engine refuses it. */
  readonly speed: Readonly<Record<Device, Speed | string | null>>;
  readonly warnings: readonly string[];
}

/** A dtype that cannot be made. */
export interface Refused {
  readonly dtype: DtypeName;
  readonly why: string;
}

export interface Variants {
  readonly made: readonly Variant[];
  readonly refused: readonly Refused[];
}

export interface VariantOptions extends Settings {
  readonly dtypes: readonly DtypeName[];
}

/** Drawn records to calibrate and compare on. */
const DRAWN = 4;
/** Seconds that each file is timed for in each engine. */
const SECONDS = 0.5;

/**
 * Makes the variants of a float model. A dtype without a recipe, or whose first step was rolled back,
 * is refused with the reason. Without data, methods calibrate on drawn inputs.
 */
export async function makeVariants(
  original: Loaded,
  platform: Platform,
  { dtypes: names, ...settings }: VariantOptions,
): Promise<Variants> {
  const prepared = await prepare(original, platform, settings);
  if (prepared.unrun) throw prepared.unrun;
  const drawn = await drawnRecords(original, prepared, settings, DRAWN);
  // Steps are judged below, all on the same records, so they are not rescued one by one.
  const env: Environment = {
    ...prepared,
    ...{ calibration: prepared.calibration ?? drawn, measures: false },
  };
  const refused: Refused[] = [];
  const found: Product[] = [];
  for (const dtype of names) {
    const { recipe }: Dtype = dtypes[dtype];
    const same = recipe === null ? null : found.find((product) => product.recipe === recipe);
    const product = same ? { ...same, dtype } : await make(original, env, dtype);
    if ("why" in product) refused.push(product);
    else found.push(product);
  }
  const isMeasured = settings.measures !== false;
  const records = prepared.data ? firstOf(prepared.data) : drawn;
  const sqnrs = isMeasured ? await compare(original, found, env, records) : [];
  const metrics = isMeasured && prepared.data ? await judge(original, found, prepared) : [];
  const speeds = isMeasured ? await timeAll(original, found, platform, settings) : {};
  const made = found.map((product, i) => ({
    ...{ dtype: product.dtype, recipe: product.recipe, model: product.loaded.model },
    sqnr: sqnrs[i]?.sqnr ?? null,
    metric: metrics[i] ?? null,
    speed: { cpu: speeds.cpu?.[i] ?? null, wasm: speeds.wasm?.[i] ?? null },
    warnings: [...product.warnings, ...(sqnrs[i] ? [lowFidelity(sqnrs[i])].filter(isText) : [])],
  }));
  return { made, refused };
}

const isText = (text: string | null): text is string => text !== null;

const firstOf = (data: Dataset): Dataset =>
  subset(
    data,
    Array.from({ length: Math.min(data.length, 16) }, (_, i) => i),
  );

/** A variant before it is measured. */
interface Product {
  readonly dtype: DtypeName;
  readonly recipe: string | null;
  readonly loaded: Loaded;
  readonly warnings: readonly string[];
}

async function make(
  original: Loaded,
  env: Environment,
  dtype: DtypeName,
): Promise<Product | Refused> {
  const { recipe, why }: Dtype = dtypes[dtype];
  if (why !== undefined) return { dtype, why };
  if (recipe === null) return { dtype, recipe, loaded: original, warnings: [] };
  const steps = parseRecipe(recipe);
  const start = simplify(original.model, steps);
  const outcome = await applyRecipe(start, steps, env);
  if (!outcome.kept.some((kept) => kept)) {
    const [reason = "no step changed anything"] = outcome.warnings;
    return { dtype, why: reason };
  }
  const source = sourceOf(outcome);
  const loaded = {
    ...{ name: dtype, model: outcome.model, source, bytes: source.byteLength ?? 0 },
    ...{ packed: null, opset: outcome.model.opset, hash: "" },
  };
  return { dtype, recipe, loaded, warnings: outcome.warnings };
}

/** How far the outputs of each product are from the original's, on the same records. */
async function compare(
  original: Loaded,
  products: readonly Product[],
  { runtime, threads }: Environment,
  records: Dataset,
) {
  const sessions: Session[] = [];
  try {
    for (const { source } of [original, ...products.map(({ loaded }) => loaded)]) {
      sessions.push(await runtime.open(source, { threads }));
    }
    const [first, ...others] = sessions;
    const all = others.map(() => createFidelity({}));
    for await (const { inputs } of batches(records, 1)) {
      const expected = await first.run(inputs);
      for (const [i, session] of others.entries()) {
        const outputs = await session.run(inputs);
        for (const [name, tensor] of Object.entries(expected)) {
          if (!tensor.dtype.includes("float")) continue;
          all[i].add(name, tensor.floats(), outputs[name].floats());
        }
      }
    }
    return all.map((fidelity) => fidelity.result());
  } finally {
    for (const session of sessions) await session.close();
  }
}

/** The metric of each product on the user's records, beside the original's. */
async function judge(
  original: Loaded,
  products: readonly Product[],
  env: Environment,
): Promise<(Metric | null)[]> {
  const around = { ...env, times: false };
  const baseline = await assessBaseline(original, around);
  try {
    const metrics: (Metric | null)[] = [];
    for (const { dtype, loaded } of products) {
      const { metric } = await assess(baseline, {
        ...{ recipe: dtype, family: "control", file: null, source: loaded.source },
        ...{ packed: packedOf(loaded), model: loaded.model, isFromSimplified: false },
        ...{ training: null, ease: { data: "none", training: false, seconds: 0, covered: 0 } },
        ...{ skipped: [], warnings: [] },
      });
      metrics.push(metric);
    }
    return metrics;
  } finally {
    await baseline.close();
  }
}

/** The speed of each product in each engine; an engine's refusal in the place of its speed. */
async function timeAll(
  original: Loaded,
  products: readonly Product[],
  platform: Platform,
  settings: Settings,
): Promise<Partial<Record<Device, (Speed | string)[]>>> {
  const found: Partial<Record<Device, (Speed | string)[]>> = {};
  for (const [device, runtime] of Object.entries(devices) as [Device, "node" | "web"][]) {
    // Records of the user may be of many words: speed is that of the shapes which decoders run in.
    const dims = { ...oneWord(original), ...settings.dims };
    const own = Object.keys(oneWord(original)).length > 0 ? { data: null, calib: null } : {};
    const env = await prepare(original, platform, { ...settings, ...own, dims, runtime });
    if (env.runtime.name !== runtime) continue;
    // Each file is timed once, also where two dtypes have the same recipe.
    const unlike = [...new Set(products.map(({ loaded }) => loaded))].filter(
      (loaded) => loaded !== original,
    );
    const results = new Map<Loaded, Speed | string>();
    for (const loaded of unlike) {
      const why = await whyNot(loaded, env);
      if (why !== null) results.set(loaded, why);
    }
    const open = [original, ...unlike.filter((loaded) => !results.has(loaded))];
    const seconds = settings.timingSeconds ?? SECONDS;
    const runs = await bench(open, env, { secondsEach: seconds });
    for (const [i, loaded] of open.entries()) results.set(loaded, runs[i]);
    found[device] = products.map(({ loaded }) => results.get(loaded) as Speed | string);
  }
  return found;
}

/** Why an engine does not open or run a model; null if it does. */
async function whyNot({ source }: Loaded, { runtime, threads, feeds }: Environment) {
  try {
    const session = await runtime.open(source, { threads });
    try {
      await session.run(feeds);
    } finally {
      await session.close();
    }
    return null;
  } catch (cause) {
    if (cause instanceof TersorError && cause.code !== "aborted") return cause.what;
    throw cause;
  }
}

/** Throws TersorError "bad-usage" if data are given for several models at once. */
export function checkData(models: readonly string[], { data, calib }: Settings): void {
  if (models.length < 2 || !(data || calib)) return;
  const why = `is for one model, and there are several (${models.join(", ")})`;
  throw fail(errors.badUsage("--data", why, "Leave it out, or compress the models one by one"));
}
