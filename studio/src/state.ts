/** @file What the page shows, as signals, and the actions that change it. */
import { batch, computed, effect, signal } from "@preact/signals";
import type { ErrorInfo, Event, Inspection, MethodInfo, OnGpu, Report } from "tersor";
import { call, Problem } from "./engine.ts";
import type {
  About,
  Candidate,
  DataInput,
  Dims,
  Opened,
  Point,
  Prediction,
  Row,
  SettingsInput,
  Spread,
  Standing,
  StepData,
  Tried,
  Typed,
} from "./protocol.ts";

export const pages = [
  "model",
  "overview",
  "compress",
  "train",
  "survey",
  "graph",
  "try",
  "report",
] as const;
export type Page = (typeof pages)[number];

const pageOf = (hash: string): Page => pages.find((page) => `#${page}` === hash) ?? "model";
export const page = signal<Page>(pageOf(location.hash));
addEventListener("hashchange", () => {
  page.value = pageOf(location.hash);
});
export const go = (to: Page): void => {
  location.hash = to;
};

export const about = signal<About | null>(null);
export const methodsById = computed(
  () => new Map<string, MethodInfo>(about.value?.methods.map((info) => [info.method, info])),
);

/** The open model. */
export interface OpenModel extends Opened {
  /** As the command line would take it. */
  readonly path: string;
}
export const model = signal<OpenModel | null>(null);
export const inspection = signal<Inspection | null>(null);
/** What the inspection warned of: that no engine opens the model, and why. */
export const warnings = signal<readonly string[]>([]);
/** The layer that the overview shows closely, and the spread of its weight. */
export const spread = signal<Spread | null>(null);
export const data = signal<DataInput | null>(null);
export const seed = signal<number | undefined>(undefined);

/** Sizes of axes that the model leaves open, for random inputs. */
export const dims = signal<Dims>({});
/** What all work on the model depends on. */
export const settings = () => ({ data: data.value, seed: seed.value, dims: dims.value });

export const steps = signal<readonly StepData[]>([]);
/** A candidate, and what it was made with: that is what its command line says. */
export interface Made extends Candidate {
  readonly settings: SettingsInput;
}
export const candidate = signal<Made | null>(null);
/** The original and the candidate on the GPU; null where the browser has none, or before it was tried. */
export const gpu = signal<OnGpu | null>(null);

/** A picture that was drawn or taken, as a PNG file, and what both models say of it. */
export const picture = signal<Uint8Array | null>(null);
export const prediction = signal<Prediction | null>(null);
/** Whether the candidate belongs to the steps, data and seed that are shown. */
export const isFresh = signal(false);

/** The rows of a survey or a search, and the settings that it was begun with. */
export interface Survey extends Tried {
  readonly rows: readonly Row[];
  readonly pareto: readonly string[];
  readonly standing: Standing | null;
  /** Null before the first row. */
  readonly report: Report | null;
  readonly settings: SettingsInput;
}
export const survey = signal<Survey | null>(null);
/** A search, and what it was told. */
export const search = signal<(Survey & { readonly typed: Typed }) | null>(null);
/** What is typed for the next search. */
export const aim = signal<Typed>({});
/** Which of both the page shows. */
export const trying = signal<"survey" | "search">("survey");
export const report = signal<string | null>(null);
/** What was measured last: that is what the report shows. */
export const reported = signal<"candidate" | "survey" | "search" | null>(null);

/** The work that is going on; there is one at a time, because a second would disturb the timing. */
export type Work =
  | "opening"
  | "inspecting"
  | "compressing"
  | "comparing with the GPU"
  | "surveying"
  | "searching"
  | "predicting";
export const work = signal<Work | null>(null);
export const progress = signal<Extract<Event, { type: "progress" }> | null>(null);
/** The run of training that goes on, or the last one of the work before. */
export interface Training {
  /** The step's method. */
  readonly what: string;
  readonly total: number;
  /** [step, loss] */
  readonly points: readonly Point[];
  /** The last score on held-out records; null if none were held out. */
  readonly score: number | null;
}
export const training = signal<Training | null>(null);
export const problem = signal<ErrorInfo | null>(null);

let controller: AbortController | null = null;
let finishing = new AbortController();
let ended: Promise<unknown> = Promise.resolve();

/** Stops the work that is going on. */
export async function stop(): Promise<void> {
  controller?.abort();
  await ended;
}

/** Ends the training that goes on: the best so far is kept, and the work goes on with it. */
export const finishTraining = (): void => finishing.abort();

/** Does one piece of work in the place of the one before; shows its progress and what is wrong. */
export async function run(name: Work, job: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const own = new AbortController();
  const before = stop();
  controller = own;
  const done = before.then(async () => {
    if (own.signal.aborted) return;
    work.value = name;
    problem.value = null;
    training.value = null;
    try {
      await job(own.signal);
    } catch (error) {
      if (controller === own || !own.signal.aborted) show(error);
    } finally {
      progress.value = null;
      work.value = null;
    }
  });
  ended = done;
  await done;
}

/** Shows an error, unless it only says that the work was stopped. */
export function show(error: unknown): void {
  if (error instanceof Problem) {
    if (error.info.code !== "aborted") problem.value = error.info;
    return;
  }
  const what = error instanceof Error ? error.message : String(error);
  problem.value = { code: "internal", where: "page", what, remedy: "Reload the page" };
}

/** Shows the progress of the work. */
export const onEvent = (event: Event): void => {
  if (event.type !== "progress") return;
  progress.value = event;
  if (event.training) training.value = trainingAt(event, event.training);
};

/** The curve with another point; an event of another run, or an earlier step, begins a new one. */
function trainingAt(
  { what, done, total }: NonNullable<typeof progress.value>,
  { loss, score }: { readonly loss: number; readonly score: number | null },
): Training {
  const before = training.peek();
  const isSame = before?.what === what && (before.points.at(-1)?.[0] ?? 0) < done;
  return { what, total, score, points: [...(isSame ? before.points : []), [done, loss]] };
}

export async function loadAbout(): Promise<void> {
  await call("about", undefined)
    .then((found) => {
      about.value = found;
    })
    .catch(show);
}

/** Opens the model among the files, or a benchmark network; then runs it and times it. */
export async function open(files: ReadonlyMap<string, Uint8Array>, path: string): Promise<void> {
  await run("opening", async (signal) => {
    const found = await call("open", { files, model: path });
    batch(() => {
      model.value = { ...found, path };
      // Sizes are shown before the model is run; times follow.
      inspection.value = found.inspection;
      warnings.value = [];
      spread.value = null;
      data.value = null;
      dims.value = {};
      steps.value = [];
      candidate.value = null;
      gpu.value = null;
      prediction.value = null;
      survey.value = null;
      search.value = null;
      report.value = null;
      reported.value = null;
      work.value = "inspecting";
      if (page.value === "model") go("overview");
    });
    await inspect(signal);
  });
  compressSoon();
}

async function inspect(signal: AbortSignal): Promise<void> {
  const listen = (event: Event): void => {
    if (event.type === "warning") warnings.value = [...warnings.value, event.text];
    onEvent(event);
  };
  inspection.value = await call("inspect", { dims: dims.value }, { signal, onEvent: listen });
}

/** Shows the weight of a layer closely. */
export async function showLayer(layer: string): Promise<void> {
  try {
    spread.value = await call("spread", { layer });
  } catch (error) {
    show(error);
  }
}

/** Compresses with the steps that are shown. */
export const compress = (): Promise<void> =>
  run("compressing", async (signal) => {
    const own = settings();
    const input = { steps: steps.value, ...own };
    finishing = new AbortController();
    const { signal: finish } = finishing;
    const made = await call("compress", input, { signal, finish, onEvent });
    candidate.value = { ...made, settings: own };
    isFresh.value = true;
    report.value = null;
    reported.value = "candidate";
    gpu.value = null;
    if (!hasGpu) return;
    work.value = "comparing with the GPU";
    progress.value = null;
    gpu.value = await call("gpu", own, { signal, onEvent });
  }).then(predictSoon);

/** Whether the browser may have a GPU for pages; the worker asks for it. */
const hasGpu = "gpu" in navigator;

/** Asks both models about the picture, unless other work goes on: it asks again when it is done. */
export async function predictSoon(): Promise<void> {
  const shown = picture.peek();
  if (!shown || page.peek() !== "try" || (work.peek() ?? "predicting") !== "predicting") return;
  await run("predicting", async (signal) => {
    prediction.value = await call("predict", { picture: shown, ...settings() }, { signal });
  });
}
effect(() => {
  void [picture.value, page.value];
  prediction.value = null;
  void predictSoon();
});

/** Reads a recipe's text into the cards. */
export async function loadRecipe(text: string): Promise<boolean> {
  try {
    steps.value = await call("parse", text);
    return true;
  } catch (error) {
    show(error);
    return false;
  }
}

export async function addData(file: File): Promise<void> {
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const spec = await call("addData", { name: file.name, bytes });
    // What was typed for another file of the same kind holds for this one: the mean of pictures.
    const before = data.peek();
    const isAlike = before !== null && kindOf(before.spec) === kindOf(spec);
    await readAs(spec, isAlike ? before.typed : {});
  } catch (error) {
    show(error);
  }
}

/** npz:digits.npz -> npz */
const kindOf = (spec: string): string => spec.replace(/:.*$/s, "");

/** Takes the records of `spec`, read as the typed options say; refused options change nothing. */
export async function readAs(spec: string, typed: Typed): Promise<void> {
  try {
    const options = await call("dataOptions", typed);
    data.value = { spec, options, typed };
    problem.value = null;
  } catch (error) {
    show(error);
  }
}

/** Compresses soon, unless other work goes on; a run for what was shown before is aborted. */
export function compressSoon(): void {
  clearTimeout(timer);
  if (steps.peek().length === 0 || isFresh.peek()) return;
  timer = setTimeout(() => {
    if (work.peek() === null || work.peek() === "compressing") void compress();
  }, 350) as unknown as number;
}
let timer = 0;

effect(() => {
  void [steps.value, settings()];
  isFresh.value = false;
  compressSoon();
});
