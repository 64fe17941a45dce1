/** @file What the page and its worker say to each other: the calls, and what comes back meanwhile. */
import type {
  DataOptions,
  ErrorInfo,
  Event,
  Inspection,
  MethodInfo,
  OnGpu,
  OptionInfo,
  Report,
  Result,
  Standing as StandingOfRows,
} from "tersor";
import type { Change } from "./graph/changes.ts";
import type { Row as PlacedRow } from "./graph/layered.ts";

/** A step of a recipe: the options that differ from their defaults, as values or as typed text. */
export interface StepData {
  readonly method: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Records from a file of the page. */
export interface DataInput {
  /** Its kind and name as the command line takes it: "npz:digits.npz". */
  readonly spec: string;
  /** How its records are read, as the library understood what was typed. */
  readonly options: DataOptions;
  /** The same as it was typed, by the names of the options: what a command line has. */
  readonly typed: Typed;
}

export type Typed = Readonly<Record<string, unknown>>;

/** Sizes of axes that the model leaves open: { H: 224, "x.3": 224 }. */
export type Dims = Readonly<Record<string, number>>;

/** What the library can do, as lists and forms need it. */
export interface About {
  readonly methods: readonly MethodInfo[];
  readonly nets: readonly {
    readonly name: string;
    readonly title: string;
    readonly cite: string;
  }[];
  readonly dataOptions: readonly OptionInfo[];
  readonly searchOptions: readonly OptionInfo[];
}

export interface OpenInput {
  /** All files that were dropped, by path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The path of the model among them, or "net:" and the name of a benchmark network. */
  readonly model: string;
}

/** A ready-made recipe for the open model. */
export interface PresetInfo {
  readonly name: string;
  readonly summary: string;
  readonly steps: readonly StepData[];
}

export interface Opened {
  readonly presets: readonly PresetInfo[];
  readonly nodes: readonly NodeInfo[];
  /** Its layers before anything was run: axes of unknown size count as 1, times are null. */
  readonly inspection: Inspection;
  /** Axes of inputs that have no fixed size, as `dims` names them: "H", or "x.3" without a name. */
  readonly openAxes: readonly string[];
}

/** A node of a graph. */
export interface NodeInfo {
  readonly name: string;
  readonly op: string;
}

/** A result with its figures of quality as text, because metrics are known in the worker only. */
export interface Row {
  readonly result: Result;
  /** The metric's value: "98.91 %"; null where nothing was judged. */
  readonly score: string | null;
  /** What is lost: "accuracy drop", "changed predictions"; null as before. */
  readonly loss: { readonly name: string; readonly value: number; readonly text: string } | null;
}

/** What all work on the open model depends on. */
export interface SettingsInput {
  readonly data: DataInput | null;
  readonly seed: number | undefined;
  readonly dims: Dims;
}

export interface RunInput extends SettingsInput {
  readonly steps: readonly StepData[];
}

/** A compressed model. */
export interface Candidate {
  /** The recipe with checked options, as steps and as text. */
  readonly steps: readonly StepData[];
  readonly recipe: string;
  readonly baseline: Row;
  readonly row: Row;
  /** How far outputs moved, with what they were computed from; null if it could not be measured. */
  readonly fidelity: Fidelity | null;
  readonly nodes: readonly NodeInfo[];
  /** Losses of the runs of training: [step, loss]. */
  readonly curves: readonly { readonly step: string; readonly points: readonly Point[] }[];
  readonly notes: readonly string[];
}

export type Point = readonly [x: number, y: number];

export interface Fidelity {
  /** "random inputs" or the name of the data. */
  readonly on: string;
  /** Size of the outputs' error beside that of the outputs, percent: 100 / 10^(SQNR / 20). */
  readonly error: number;
  /** Percent of predictions that changed. */
  readonly flips: number | null;
  readonly n: number;
}

/** How the numbers of a layer's weight are spread. */
export interface Spread {
  readonly layer: string;
  readonly shape: readonly number[];
  readonly n: number;
  readonly zeros: number;
  readonly mean: number;
  readonly std: number;
  /** Limits of the bins, and how many numbers lie in each. */
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
}

/** Which of both models is meant. */
export type Side = "original" | "candidate";

/** A graph that is laid out: boxes of one size in rows. */
export interface Drawing {
  readonly nodes: readonly DrawnNode[];
  readonly rows: readonly PlacedRow[];
  readonly width: number;
}

export interface DrawnNode {
  readonly kind: "input" | "node" | "output";
  readonly name: string;
  readonly op: string;
  /** The shape of its weight and how that is stored, or the type of an input or output. */
  readonly note: string;
  readonly change: Change;
  /** Its centre. */
  readonly x: number;
}

/** An input or output of a node. */
export interface PortInfo {
  readonly name: string;
  readonly type: string;
  /** The node that computes it, or "constant", "stored as codebook", "input". */
  readonly from: string;
}

/** A group of coupled channels that a node makes, passes on or reads. */
export interface GroupInfo {
  readonly name: string;
  readonly size: number;
  /** Why it cannot be pruned; null if it can. */
  readonly fixed: string | null;
  /** Whether the node's output has these channels; if not, the node only reads them. */
  readonly makes: boolean;
  readonly makers: readonly string[];
  readonly readers: readonly string[];
}

export interface NodeDetail {
  readonly name: string;
  readonly op: string;
  readonly domain: string;
  readonly attributes: readonly (readonly [name: string, text: string])[];
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
  readonly spread: Spread | null;
  readonly groups: readonly GroupInfo[];
}

export interface PictureInput extends SettingsInput {
  /** A PNG, JPEG or WebP file. */
  readonly picture: Uint8Array;
}

/** What a model says of a picture. */
export interface Said {
  /** The most likely classes with their shares, 0 to 1. */
  readonly top: readonly { readonly index: number; readonly share: number }[];
}

export interface Prediction {
  /** Null for a model whose output is no list of scores. */
  readonly said: Readonly<Record<Side, Said | null>>;
  /** Size of the candidate's error beside the original's outputs, percent; null without a candidate. */
  readonly error: number | null;
}

export interface SurveyInput extends SettingsInput {
  readonly budgetSeconds: number;
  readonly trains: boolean;
}

export interface SearchInput extends SettingsInput {
  /** Target, budget and the like as they were typed. */
  readonly typed: Typed;
}

/** How the rows of a search stand to its target, in the library's words. */
export interface Standing extends Omit<StandingOfRows, "best"> {
  /** The best row's recipe, and its figures beside the original's. */
  readonly best: string;
  readonly line: string;
}

/** A row of a survey or a search, with what is known after it. */
export interface Trial {
  readonly row: Row;
  /** The recipes that no other beats. */
  readonly pareto: readonly string[];
  /** Null in a survey, and for the original. */
  readonly standing: Standing | null;
  /** All rows so far; the page keeps it, because a worker that does not stop is replaced. */
  readonly report: Report;
}

/** The end of a survey or a search. */
export interface Tried {
  /** What was not measured, and why. */
  readonly left: readonly string[];
  /** What a search has done. */
  readonly says: readonly string[];
}

/** The calls: what each takes and gives. */
export interface Calls {
  about: [undefined, About];
  open: [OpenInput, Opened];
  /** Adds a file of records to those that were dropped; gives its specification. */
  addData: [{ readonly name: string; readonly bytes: Uint8Array }, string];
  /** Checks data options that were typed. */
  dataOptions: [Typed, DataOptions];
  inspect: [{ readonly dims: Dims }, Inspection];
  /** The numbers of a layer's weight; null where it is no constant of the model. */
  spread: [{ readonly layer: string }, Spread | null];
  /** The graphs of the original and of the last candidate, if there is one. */
  drawings: [undefined, Readonly<Record<Side, Drawing | null>>];
  /** A node of one of both; null where it has no such node. */
  node: [{ readonly side: Side; readonly name: string }, NodeDetail | null];
  /** What both models give for a picture. */
  predict: [PictureInput, Prediction];
  /** The original and the last candidate on the GPU; null where the browser has none. */
  gpu: [SettingsInput, OnGpu | null];
  /** The steps of a recipe's text. */
  parse: [string, readonly StepData[]];
  compress: [RunInput, Candidate];
  /** The bytes of the last candidate. */
  onnx: [undefined, Uint8Array];
  packed: [undefined, Uint8Array];
  survey: [SurveyInput, Tried];
  search: [SearchInput, Tried];
  /** A report (null: that of the last compression) as a page; `commandLine` is named in it. */
  report: [{ readonly commandLine: string; readonly report: Report | null }, string];
}

export type CallName = keyof Calls;

export type ToWorker =
  | { readonly id: number; readonly call: CallName; readonly input: unknown }
  | { readonly id: number; readonly abort: true }
  /** Ends the training of a call early; the call goes on with what was learned. */
  | { readonly id: number; readonly finish: true };

export type FromWorker =
  | { readonly id: number; readonly event: Event }
  | { readonly id: number; readonly trial: Trial }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ErrorInfo };
