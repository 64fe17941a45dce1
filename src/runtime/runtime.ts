/** @file The interface every execution engine implements: open, run, profile, close. */
import type { DType } from "../ir/dtype.ts";
import type { Tensor } from "../ir/tensor.ts";

export type Feeds = Readonly<Record<string, Tensor>>;

/** A graph input or output as the engine reports it; a dim is a number or a symbolic name. */
export interface Port {
  readonly name: string;
  readonly dtype: DType | null;
  readonly dims: readonly (number | string)[];
}

export interface SessionOptions {
  /** Engine threads inside one run (default 1: reproducible, and right for workers). */
  readonly threads?: number;
  /** ONNX Runtime's graph optimization level (default "all"; decoders need constant folding). */
  readonly optimize?: "disabled" | "basic" | "extended" | "all";
  /** Plan activation memory ahead (default true); false halves the peak of a large training graph. */
  readonly memoryPattern?: boolean;
  /** Engine keys such as `session.disable_quant_qdq`; see docs/engine.md. */
  readonly extra?: Readonly<Record<string, string>>;
}

/** A serialized model: bytes, and external data by the path written in the model. */
export interface Source {
  readonly bytes: Uint8Array;
  readonly external?: readonly { path: string; data: Uint8Array }[];
}

/** Measured time of one node of the optimized graph. */
export interface NodeTime {
  /** Engine's node name: the original's name, possibly with suffixes from fusion. */
  readonly node: string;
  readonly op: string;
  /** Median over the runs, microseconds. */
  readonly us: number;
}

export interface Session {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Runs once; `fetch` limits the outputs. Rejects with TersorError "run-failed". */
  run(feeds: Feeds, fetch?: readonly string[]): Promise<Record<string, Tensor>>;
  close(): Promise<void>;
}

export interface Runtime {
  readonly name: "node" | "web" | "reference";
  readonly version: string;
  /** Rejects with TersorError "cannot-open" carrying the engine's own words. */
  open(source: Source, options?: SessionOptions): Promise<Session>;
  /** Per-node times over `runs` runs of one session; null where the engine cannot tell. */
  profile(
    source: Source,
    feeds: Feeds,
    runs: number,
    options?: SessionOptions,
  ): Promise<NodeTime[] | null>;
}
