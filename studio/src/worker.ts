/** @file The worker: runs the library on the open model and reports to the page. */
import {
  type Compression,
  createBrowserPlatform,
  createKeeper,
  createTersor,
  dataOptionInfos,
  dataPrefix,
  type Event,
  formatRecipe,
  htmlReport,
  type Model,
  methods,
  type Node,
  nets,
  type PresetId,
  parseDataOptions,
  parseRecipe,
  presets,
  type RecipeInput,
  searchOptionInfos,
  TersorError,
  z,
} from "tersor";
import { changesOf } from "./graph/changes.ts";
import { detailOf } from "./graph/detail.ts";
import { drawingOf } from "./graph/drawing.ts";
import { predict } from "./predict.ts";
import type {
  About,
  Calls,
  Candidate,
  FromWorker,
  NodeInfo,
  Opened,
  OpenInput,
  RunInput,
  StepData,
  ToWorker,
} from "./protocol.ts";
import { fidelityOf, onRandomInputs, randomModule } from "./random-inputs.ts";
import { rowOf } from "./rows.ts";
import { type Around, type Session, settingsOf, timingSeconds } from "./session.ts";
import { spreadOf } from "./spread.ts";
import { search, survey } from "./trials.ts";

// The page's Content-Security-Policy forbids to compile text, which zod would try.
z.config({ jitless: true });

/** The open model, if there is one. */
let session: Session | null = null;

type Handlers = {
  readonly [K in keyof Calls]: (input: Calls[K][0], around: Around) => Promise<Calls[K][1]>;
};

const handlers: Handlers = {
  about: async (): Promise<About> => ({
    methods: methods(),
    nets: Object.entries(nets).map(([name, { title, cite }]) => ({ name, title, cite })),
    dataOptions: dataOptionInfos(),
    searchOptions: searchOptionInfos(),
  }),
  open,
  async addData({ name, bytes }) {
    const { files, keeper } = opened();
    files.set(name, bytes);
    await keeper.close();
    const prefix = dataPrefix(name, { files: { exists: (path) => files.has(path) } });
    return prefix ? `${prefix}:${name}` : name;
  },
  dataOptions: async (given) => parseDataOptions(given),
  inspect: ({ dims }, { signal, onEvent }) =>
    opened().tersor.inspect(opened().model, { dims, signal, onEvent, timingSeconds }),
  spread: async ({ layer }) => spreadOf(opened().model.model, layer),
  drawings: async () => drawings(opened()),
  async node({ side, name }) {
    const { model, product } = opened();
    const asked = side === "original" ? model : product;
    return asked ? detailOf(asked.model, name) : null;
  },
  predict: (input, { signal }) => predict(opened(), input, signal),
  gpu(input, { signal, onEvent }) {
    const { tersor, model, product } = opened();
    const settings = { ...settingsOf(input), signal, onEvent, timingSeconds };
    return tersor.onGpu(product ? [model, product] : [model], settings);
  },
  parse: async (text) => stepsOf(parseRecipe(text)),
  compress,
  onnx: async () => compressed().bytes,
  packed: async () => compressed().pack(),
  survey: (input, around) => survey(opened(), input, around),
  search: (input, around) => search(opened(), input, around),
  async report({ commandLine, report: given }) {
    const report = given ?? opened().report;
    if (!report) throw new Error("nothing was compressed yet");
    return htmlReport({ ...report, commandLine });
  },
};

async function open({ files, model: path }: OpenInput): Promise<Opened> {
  const own = new Map(files);
  const platform = createBrowserPlatform(own);
  const tersor = createTersor({ ...platform, module: randomModule });
  const model = await tersor.load(path);
  await forget();
  session = { files: own, tersor, model, keeper: createKeeper(), onRandom: createKeeper() };
  const { graph } = model.model;
  return {
    presets: presetsFor(model.model),
    nodes: nodesOf(model.model),
    inspection: await tersor.inspect(model, { measures: false }),
    openAxes: openAxes(graph),
  };
}

/** Both graphs, with what differs between them. */
function drawings({ model: { model }, product }: Session): Calls["drawings"][1] {
  if (!product) return { original: drawingOf(model, () => "same"), candidate: null };
  const changes = changesOf(model.graph, product.model.graph);
  const changeOf = (node: Node) => changes.get(node) ?? "same";
  return { original: drawingOf(model, changeOf), candidate: drawingOf(product.model, changeOf) };
}

/** Closes what the session before holds open. */
async function forget(): Promise<void> {
  await session?.keeper.close();
  await session?.onRandom.close();
}

/** The axes of inputs that have no fixed size; a symbol that several axes share counts once. */
function openAxes({ inputs }: Model["graph"]): string[] {
  const axes = inputs.flatMap(({ name, shape }) =>
    (shape ?? []).flatMap((dim, axis) =>
      typeof dim === "number" ? [] : [dim === null ? `${name}.${axis}` : String(dim)],
    ),
  );
  return [...new Set(axes)];
}

function opened(): Session {
  if (!session) throw new Error("no model is open");
  return session;
}

function compressed(): Compression {
  const { compression } = opened();
  if (!compression) throw new Error("nothing was compressed yet");
  return compression;
}

async function compress(input: RunInput, { signal, finish, onEvent }: Around): Promise<Candidate> {
  const { steps, data, seed } = input;
  const current = opened();
  const { tersor, model, keeper } = current;
  const recipe = parseRecipe(steps.map(inputOf) as unknown as RecipeInput);
  const notes: string[] = [];
  const settings = {
    ...settingsOf(input),
    signal,
    finish,
    onEvent: noting(onEvent, notes),
    keeper,
  };
  const compression = await tersor.compress(model, { recipe, ...settings, timingSeconds });
  const { result, baseline } = compression;
  // Its packed size is known: it is not packed a second time.
  const product = { ...(await tersor.load(compression.bytes)), packed: result.bytes.packed };
  const { metric } = result;
  const fidelity = metric
    ? fidelityOf(metric, data?.spec ?? "data")
    : await onRandomInputs(tersor, product, model, {
        ...{ seed, dims: input.dims, signal, keeper: current.onRandom },
      });
  current.compression = compression;
  current.product = product;
  current.report = compression.report;
  return {
    steps: stepsOf(recipe),
    recipe: formatRecipe(recipe),
    baseline: rowOf(baseline, compression.report),
    row: rowOf(result, compression.report),
    fidelity,
    nodes: nodesOf(product.model),
    curves: compression.training.map(({ step, curve }) => ({
      step,
      points: curve.map(({ step, loss }) => [step, loss] as const),
    })),
    notes,
  };
}

/** Passes events on, and keeps those that are to be read after the run. */
const noting = (onEvent: (event: Event) => void, notes: string[]) => (event: Event) => {
  if (event.type === "note" || event.type === "warning") notes.push(event.text);
  onEvent(event);
};

const inputOf = ({ method, options }: StepData) => ({ method, ...options });

/** Checked steps with those options only that differ from their defaults. */
function stepsOf(steps: ReturnType<typeof parseRecipe>): StepData[] {
  return steps.map(({ id, options }) => {
    const defaults = methods().find(({ method }) => method === id)?.options ?? [];
    const usual = new Map(defaults.map((info) => [info.name, JSON.stringify(info.default)]));
    const differs = ([name, value]: [string, unknown]) =>
      JSON.stringify(value ?? null) !== usual.get(name);
    return { method: id, options: Object.fromEntries(Object.entries(options).filter(differs)) };
  });
}

/** The presets for a model, each as the recipe that it stands for without data. */
function presetsFor(model: Model): Opened["presets"] {
  return (Object.keys(presets) as PresetId[]).map((name) => {
    const { summary, recipe } = presets[name];
    return { name, summary, steps: stepsOf(parseRecipe(recipe(model, false, null))) };
  });
}

const nodesOf = ({ graph }: Model): NodeInfo[] =>
  [...graph.nodes].map(({ name, op }) => ({ name, op }));

/** The calls that run, by id. */
const running = new Map<number, Record<"abort" | "finish", AbortController>>();
const reply = (message: FromWorker): void => postMessage(message);

addEventListener("message", async ({ data }: MessageEvent<ToWorker>) => {
  const { id } = data;
  if ("abort" in data) return running.get(id)?.abort.abort();
  if ("finish" in data) return running.get(id)?.finish.abort();
  const own = { abort: new AbortController(), finish: new AbortController() };
  running.set(id, own);
  try {
    const handler = handlers[data.call] as (input: unknown, around: Around) => Promise<unknown>;
    const result = await handler(data.input, {
      signal: own.abort.signal,
      finish: own.finish.signal,
      onEvent: (event) => reply({ id, event }),
      onTrial: (trial) => reply({ id, trial }),
    });
    reply({ id, result });
  } catch (error) {
    reply({ id, error: infoOf(error) });
  } finally {
    running.delete(id);
  }
});

function infoOf(error: unknown) {
  if (error instanceof TersorError) {
    const { code, what, where, remedy } = error;
    return { code, what, where, remedy };
  }
  const what = error instanceof Error ? error.message : String(error);
  const remedy = "This is a mistake in tersor or its engine: try another recipe, and report it";
  return { code: "internal", where: "worker", what, remedy };
}
