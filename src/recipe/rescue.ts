/**
 * @file Rescue: a step that costs too much quality is done again without the layers that did it.
 *
 * Which layers these are, each layer alone tells, by the error of the model's outputs on a few
 * records. Leaving one out while all others are compressed tells nothing, because errors saturate.
 * How many are left out is decided by the metric.
 */
import type { Dataset } from "../data/dataset.ts";
import { isRefusal } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { LOW_SQNR } from "../measure/fidelity.ts";
import { lossOf } from "../measure/loss.ts";
import type { Metric } from "../measure/measurement.ts";
import type { Reference } from "../measure/metric.ts";
import { concat, writeModel } from "../onnx/write.ts";
import type { RescueOptions } from "../options.ts";
import { checkpoint, type Environment } from "./environment.ts";
import { fewRecords } from "./few-records.ts";
import { alone, type Choice, layersOf, limited, passing, withoutRescue } from "./layer-choice.ts";
import { type File, measuredFile } from "./measured.ts";
import type { Notes } from "./step-context.ts";
import { formatRecipe, isTraining, type Step } from "./steps.ts";

/** Calibration records that judge, and those on which each layer is tried alone. */
const JUDGES = 256;
const FEW = 8;
/** Outputs of the model before the step are kept up to this many bytes. */
const KEEP_BYTES = 2 ** 28;
/** Changed predictions, percent, that count like one point of accuracy: most change nothing. */
const FLIPS_A_POINT = 5;

/** What a step made of a model. */
export interface Attempt {
  readonly model: Model;
  readonly notes: Notes;
}

/** Applies a step to a copy of the model before it. */
export type Try = (step: Step, env: Environment) => Promise<Attempt>;

/** What was lost, and what may be. */
interface Loss {
  readonly value: number;
  readonly limit: number;
  /** "points", "% of perplexity" ... */
  readonly unit: string;
  /** False if it may be chance. */
  readonly isCertain: boolean;
}

/** Whether the step can be rescued: it says so, it can be judged, and no later step mends it. */
export const isRescued = (steps: readonly Step[], index: number, env: Environment): boolean =>
  (steps[index].options as Partial<RescueOptions>).rescue === true &&
  env.calibration !== null &&
  env.measures !== false &&
  !steps.slice(index).some((step) => isTraining(step) || step.method.repairs);

/**
 * Measures what `whole`, the model after `step`, loses against `before` on calibration records. If
 * that is more than the step's `tolerance`, the step's gentler settings are tried, then as few layers
 * are left out as keep the loss within it: the 1, 2, 4, 8 ... worst, then a number between the last
 * two; where half of them are not enough, the same with its milder settings. Returns what to take
 * instead, or null: nothing to rescue, or nothing that would; the notes of `whole` are then told why.
 */
export async function rescue(
  before: File,
  whole: Attempt & File,
  step: Step,
  attempt: Try,
  env: Environment,
): Promise<Attempt | null> {
  const { tolerance } = step.options as unknown as RescueOptions;
  const records = fewRecords(env.calibration as Dataset, JUDGES, env.seed);
  await checkpoint(env, step.id);
  const metricOf = await compareBy(before, records, env);
  const lossOf = async (file: File): Promise<Loss | null> => {
    const metric = await metricOf(file);
    return metric && lossIn(metric, tolerance);
  };
  const loss = await lossOf(whole);
  if (loss === null || loss.value <= loss.limit || !loss.isCertain) return null;
  const cost = `${step.id} costs ${amount(loss.value, loss)} on ${records.length} calibration records`;
  env.onEvent({ type: "note", text: `${cost}: looking for the layers that do it` });
  for (const options of step.method.gentler ?? []) {
    const own = step.options as Readonly<Record<string, unknown>>;
    if (Object.entries(options).every(([key, value]) => own[key] === value)) continue;
    const gentler = withoutRescue({ ...step, options: { ...step.options, ...options } });
    const made = await attempt(gentler, env);
    const rest = await lossOf(fileOf(made));
    if (rest === null || rest.value > rest.limit) continue;
    made.notes.warnings.push(
      `${cost}; other settings leave ${amount(rest.value, rest)}: done as ${formatRecipe([gentler])}`,
    );
    return made;
  }
  const names = await worstFirst(before, step, attempt, env);
  const layers = layersOf(before.model).filter(({ name }) => names.includes(name));
  const trialOf =
    (base: Step) =>
    async (count: number): Promise<Trial> => {
      const gentler = without(base, names.slice(0, count));
      const left = layers.length - passing(layers, gentler.options as unknown as Choice).length;
      const made = await attempt(gentler, env);
      const rest = await lossOf(fileOf(made));
      return { left, count, made, rest: rest ?? loss, recipe: formatRecipe([gentler]) };
    };
  let found = await fewest(names.length, trialOf(step), 1);
  for (const options of step.method.milder?.(step.options as never) ?? []) {
    const milder = { ...step, options: { ...step.options, ...options } };
    found ??= await fewest(names.length, trialOf(milder), 0);
  }
  if (!found) {
    whole.notes.warnings.push(
      `${cost}, and leaving out up to half of its layers does not bring that to ${amount(loss.limit, loss)}: give a gentler setting, or train after it`,
    );
    return null;
  }
  const { left, made, rest, recipe } = found;
  const what =
    left > 0
      ? `${left} of ${names.length} layers do it and stay as they are`
      : "less of it is done";
  made.notes.warnings.push(
    `${cost}; ${what}, which leaves ${amount(rest.value, rest)}: done as ${recipe}`,
  );
  return made;
}

interface Trial {
  readonly count: number;
  /** Layers that stay as they are: more than `count` where a name is also a glob for others. */
  readonly left: number;
  readonly made: Attempt;
  readonly rest: Loss;
  readonly recipe: string;
}

/**
 * The trial with the fewest layers left out, `least` or more, that is within its limit, of up to half of
 * them.
 */
async function fewest(
  layers: number,
  trial: (count: number) => Promise<Trial>,
  least: 0 | 1,
): Promise<Trial | null> {
  const isFine = ({ rest, left }: Trial) => rest.value <= rest.limit && left <= layers / 2;
  let tooFew = 0;
  let found: Trial | null = null;
  for (let count: number = least; count <= layers / 2 && !found; count = Math.max(1, 2 * count)) {
    const tried = await trial(count);
    if (isFine(tried)) found = tried;
    else tooFew = count;
  }
  while (found && found.count - tooFew > Math.max(1, Math.floor(tooFew / 4))) {
    const tried = await trial(Math.floor((tooFew + found.count) / 2));
    if (isFine(tried)) found = tried;
    else tooFew = tried.count;
  }
  return found;
}

/** The step with more layers left out, and without a rescue of its own. */
function without(step: Step, names: readonly string[]): Step {
  const { except } = step.options as unknown as Choice;
  return withoutRescue({
    ...step,
    options: { ...step.options, except: [...except, ...names] },
  });
}

/**
 * The names of the layers that the step changes, the one that alone does most damage first. Of layers
 * that it can only change together one is named: without it the others stay as they are, too.
 */
async function worstFirst(
  before: File,
  step: Step,
  attempt: Try,
  env: Environment,
): Promise<string[]> {
  const calibration = fewRecords(env.calibration as Dataset, FEW, env.seed);
  const few: Environment = { ...env, calibration, onEvent() {} };
  const metricOf = await compareBy(before, calibration, few);
  const chosen = passing(layersOf(before.model), step.options as unknown as Choice);
  const byName = new Map(chosen.map((node) => [node.name, node]));
  const sets = step.method.together?.(before.model) ?? chosen.map(({ name }) => [name]);
  const whole = sets.filter((names) => names.every((name) => byName.has(name)));
  const damages: { name: string; sqnr: number }[] = [];
  for (const [i, names] of whole.entries()) {
    await checkpoint(env, step.id);
    env.onEvent({
      type: "progress",
      what: `${step.id} layer by layer`,
      done: i,
      total: whole.length,
    });
    const nodes = names.map((name) => byName.get(name) as Node);
    const [single] = limited([withoutRescue(step)], alone(nodes, chosen));
    try {
      const sqnr = (await metricOf(fileOf(await attempt(single, few))))?.sqnr ?? Infinity;
      if (sqnr < Infinity) damages.push({ name: leastShared(names, whole), sqnr });
    } catch (cause) {
      // Above all "no-match": the method does not work on layers of this kind.
      if (!isRefusal(cause)) throw cause;
    }
  }
  return damages.sort((a, b) => a.sqnr - b.sqnr).map(({ name }) => name);
}

/** The name that is in the fewest of the sets: to leave it out keeps the least beside its own set. */
function leastShared(names: readonly string[], sets: readonly (readonly string[])[]): string {
  const shares = names.map((name) => sets.filter((set) => set.includes(name)).length);
  return names[shares.indexOf(Math.min(...shares))];
}

const fileOf = ({ model }: Attempt): File => ({ model, bytes: concat(writeModel(model)) });

/**
 * A function that measures a file against `before` on the records; null if it cannot be run. A
 * named metric that these records do not allow is left out, and so are labels that do not fit the
 * outputs: calibration needs none, so nothing else checks them.
 */
export async function compareBy(
  before: File,
  records: Dataset,
  env: Environment,
): Promise<(file: File) => Promise<Metric | null>> {
  const tried = async (
    file: File,
    data: Dataset,
    reference: Reference | null,
    metric: Environment["metric"] = null,
  ) => {
    try {
      const judging = { ...env, data, metric, onEvent() {} };
      const keepBytes = reference ? 0 : KEEP_BYTES;
      return await measuredFile(file, judging, "rescue", { reference, keepBytes });
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
      return null;
    }
  };
  const guessed = records.labelled ? [records, unlabelled(records)] : [records];
  const ways = [
    ...(env.metric ? [{ data: records, metric: env.metric }] : []),
    ...guessed.map((data) => ({ data, metric: null })),
  ];
  for (const { data, metric } of ways) {
    const original = await tried(before, data, null, metric);
    if (!original) continue;
    return async (file) => (await tried(file, data, original.reference))?.metric ?? null;
  }
  return async () => null;
}

const unlabelled = (records: Dataset): Dataset => ({
  ...records,
  labelled: false,
  read: async (indices) => ({ ...(await records.read(indices)), label: null }),
});

/** What a metric lost, in the units of its kind, and how much a tolerance in points allows. */
export function lossIn(metric: Metric, tolerance: number): Loss | null {
  const { dropCi95, flips, sqnr } = metric;
  const isCertain = dropCi95 === null || dropCi95[0] > 0;
  const lost = lossOf(metric);
  if (lost) return { value: lost.value, limit: lost.point * tolerance, unit: lost.unit, isCertain };
  if (flips !== null) {
    const limit = FLIPS_A_POINT * tolerance;
    return { value: flips, limit, unit: "% of the predictions", isCertain: true };
  }
  if (sqnr === null) return null;
  // Decibels that the error is above the outputs themselves, below 0 for one that is smaller.
  return { value: -sqnr, limit: -LOW_SQNR, unit: "dB of error", isCertain: true };
}

const amount = (value: number, { unit }: Pick<Loss, "unit">): string =>
  `${Number(value.toPrecision(3))} ${unit}`;
