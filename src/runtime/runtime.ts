/** @file The interface every execution engine implements: open, run, profile, close. */
import type { DType } from "../ir/dtype.ts";
import type { ByteSource, Tensor } from "../ir/tensor.ts";

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
  readonly external?: readonly ExternalFile[];
  /** Bytes of all files, where that is known without making them. */
  readonly byteLength?: number;
}

/** A file of external data. */
export interface ExternalFile {
  readonly path: string;
  /** The whole file, which may be read only now. */
  readonly data: Uint8Array;
  /** The file, to be read in parts; absent where it is in memory. */
  readonly file?: ByteSource;
}

/** An external file that is read when it is needed. */
export const externalFile = (path: string, file: ByteSource): ExternalFile => ({
  path,
  file,
  get data() {
    return file.read(0, file.byteLength);
  },
});

/** The bytes of a source's files, none of which is read for that. */
export function sourceBytes(source: Source): number {
  if (source.byteLength !== undefined) return source.byteLength;
  const { bytes, external = [] } = source;
  return external.reduce((sum, one) => sum + (one.file ?? one.data).byteLength, bytes.byteLength);
}

/** The contents of a source's files in pieces, each read when it comes. */
export function* sourceChunks({ bytes, external = [] }: Source): Generator<Uint8Array> {
  yield bytes;
  for (const one of external) yield* one.file ? piecesOf(one.file) : [one.data];
}

/** Bytes that are read at once. */
const PIECE = 2 ** 26;

/** The bytes of a file in pieces, each read when it comes; with `once` into one array, for one use. */
export function* piecesOf(file: ByteSource, once = false): Generator<Uint8Array> {
  const into = once ? new Uint8Array(Math.min(PIECE, file.byteLength)) : undefined;
  for (let at = 0; at < file.byteLength; at += PIECE) {
    const length = Math.min(PIECE, file.byteLength - at);
    yield file.read(at, length, into?.subarray(0, length));
  }
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
  readonly name: "node" | "web" | "webgpu" | "reference";
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
