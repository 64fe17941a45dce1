/** @file The interface every execution engine implements: open, run, profile, close. */
import type { DType } from "../ir/dtype.ts";
import type { Tensor } from "../ir/tensor.ts";

/** The inputs of a run, by name. */
export type Feeds = Readonly<Record<string, Tensor>>;

/** A graph input or output as the engine reports it; a dim is a number or a symbolic name. */
export interface Port {
  readonly name: string;
  readonly dtype: DType | null;
  readonly dims: readonly (number | string)[];
  /** The model leaves the number of axes open; `dims` is empty then. */
  readonly isOpenRank?: boolean;
}

/**
 * The batch size if the first of these inputs with axes fixes it, else null. `axes` holds the axis of
 * the records in inputs where it is not the first; null for inputs that have none.
 */
export function fixedBatch(
  ports: readonly Pick<Port, "name" | "dims">[],
  axes: ReadonlyMap<string, number | null> = new Map(),
): number | null {
  const axisOf = ({ name }: Pick<Port, "name">) => (axes.has(name) ? axes.get(name) : 0);
  const first = ports.find((port) => port.dims.length > 0 && axisOf(port) !== null);
  const batch = first?.dims[axisOf(first) ?? 0];
  return typeof batch === "number" && batch > 0 ? batch : null;
}

/** How a session is opened; each field has a default. */
export interface SessionOptions {
  /** Engine threads within one run (default 1, with which results are reproducible). */
  readonly threads?: number;
  /**
   * ONNX Runtime's graph optimization level (default "all"). With "disabled" compressed weights are
   * decoded at every run, because constant folding is off.
   */
  readonly optimize?: "disabled" | "basic" | "extended" | "all";
  /** Plan the memory of activations ahead (default true). False takes less memory in training. */
  readonly memoryPattern?: boolean;
  /** Other configuration keys of the engine, such as `session.disable_quant_qdq`. */
  readonly extra?: Readonly<Record<string, string>>;
}

/** A serialized model: the ONNX file, and its external data by the path written in the model. */
export interface Source {
  readonly bytes: Uint8Array;
  readonly external?: readonly { path: string; data: Uint8Array }[];
}

/** Measured time of one node of the engine's optimized graph. */
export interface NodeTime {
  /** The engine's name of the node: the original's name, with additions where nodes were fused. */
  readonly node: string;
  readonly op: string;
  /** Median over the runs, microseconds. */
  readonly us: number;
}

/** A model that is open in an engine. */
export interface Session {
  readonly inputs: readonly Port[];
  /** The outputs that are tensors; sequences and maps are not fetched. */
  readonly outputs: readonly Port[];
  /**
   * Runs the model once and resolves with its outputs by name, or only those named by `fetch`.
   * Rejects with TersorError "run-failed".
   */
  run(feeds: Feeds, fetch?: readonly string[]): Promise<Record<string, Tensor>>;
  /** Frees the session; it cannot run afterwards. */
  close(): Promise<void>;
}

/** An execution engine. */
export interface Runtime {
  readonly name: "node" | "web" | "reference";
  readonly version: string;
  /** Opens a model. Rejects with TersorError "cannot-open", which has the engine's error text. */
  open(source: Source, options?: SessionOptions): Promise<Session>;
  /** Times each node over `runs` runs on the same feeds; null where the engine gives no trace. */
  profile(
    source: Source,
    feeds: Feeds,
    runs: number,
    options?: SessionOptions,
  ): Promise<NodeTime[] | null>;
}
