/** @file Inspection: the layers of a model, with the bytes, MACs and latency of each. */
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { brokenWeights } from "../measure/broken-weights.ts";
import type { ClockKind } from "../measure/clock.ts";
import type { Timing } from "../measure/latency.ts";
import type { Latency } from "../measure/measurement.ts";
import { countParams, type Params } from "../measure/params.ts";
import { biasReadBy } from "../ops/bias.ts";
import { constantExpressions } from "../ops/constant.ts";
import { costModel, type ModelCost } from "../ops/cost.ts";
import { weightsOf } from "../ops/weights.ts";
import { dimsOf, timingMs } from "./assess.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";
import type { Sensitivity } from "./sensitivity.ts";
import { timeNodes } from "./time-nodes.ts";
import { openTimed, timeSessions } from "./time-sessions.ts";

/** An input or output of a model, as reports show it. */
export interface Port {
  readonly name: string;
  /** ONNX element type; "?" where the file does not say. */
  readonly dtype: string;
  /** For each axis a number, a symbol such as "N", or null where the file does not say. */
  readonly shape: readonly (number | string | null)[];
}

/** Facts about a model as a whole, without any measurement. */
export interface ModelInfo {
  readonly name: string;
  /** Bytes of the file with its external data. */
  readonly bytes: number;
  /** Numbers that the file stores for the layers (see `countParams`). */
  readonly params: number;
  /** Multiply-accumulate operations of one run; null where a shape is not known. */
  readonly macs: number | null;
  /** Operator set that the file declares. */
  readonly opset: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** SHA-256 of the file, hex, so that a report identifies its input exactly. */
  readonly hash: string;
}

/**
 * One row: a node with weights, its bias and the nodes that the engine fused into it; or, under the
 * name "other", all remaining nodes of one operator. `share` holds fractions (0..1) of the totals.
 */
export interface Layer {
  readonly name: string;
  readonly op: string;
  /** Shape of the main weight; empty in a row called "other". */
  readonly shape: readonly number[];
  /** Numbers of the weights in the form in which the file stores them, and of the bias. */
  readonly params: number;
  /** Bytes of the same. */
  readonly bytes: number;
  readonly macs: number | null;
  /**
   * The row's part of the measured latency: as large a part as it has of the engine's trace. Null
   * where the engine writes no trace.
   */
  readonly ms: number | null;
  readonly share: {
    readonly bytes: number;
    readonly macs: number | null;
    readonly ms: number | null;
  };
}

/** Sums over all rows. */
export interface Totals {
  /** Number of nodes with weights; rows called "other" do not count. */
  readonly layers: number;
  readonly params: number;
  readonly bytes: number;
  readonly macs: number | null;
  /** The latency of whole runs; null where nothing was timed. */
  readonly ms: number | null;
  /** What `ms` is counted by, here and in the layers, and on how many engine threads. */
  readonly clock: ClockKind | null;
  readonly threads: number | null;
}

/** The result of `inspect`; `tersor inspect` prints it. */
export interface Inspection {
  readonly model: ModelInfo;
  readonly totals: Totals;
  readonly layers: readonly Layer[];
  /** How sensitive each layer is to compression; only where it was asked for. */
  readonly sensitivity?: Sensitivity;
}

/** Sums of one row, before shares are known. */
interface Row {
  readonly name: string;
  readonly op: string;
  readonly shape: readonly number[];
  params: number;
  bytes: number;
  macs: number | null;
  us: number;
}

/** What all rows together amount to. */
type Whole = Pick<ModelCost, "params" | "macs">;

/** Operators below this share of everything share one row. */
const worthARow = 0.02;

/**
 * Sums parameters, bytes, MACs and time per layer, in network order, then per operator. Without an
 * environment (for a model that no engine opens) nothing is timed, and axes of unknown size count
 * as 1 in the MACs.
 */
export async function inspect(loaded: Loaded, env: Environment | null): Promise<Inspection> {
  const { model } = loaded;
  const broken = brokenWeights(model);
  if (broken) env?.onEvent({ type: "warning", text: broken });
  const cost = costModel(model, env ? { dims: dimsOf(env.feeds) } : {});
  const stored = countParams(model, cost);
  const whole = { params: stored.params, macs: cost.macs };
  const rows = rowsOf(model, cost, stored);
  const isClocked = env !== null && env.times !== false;
  const times = isClocked ? await timeNodes(model, env) : null;
  for (const { node, op, us } of times ?? []) rows.of(node, op).us += us;
  const latency = isClocked ? await latencyOf(loaded, env) : null;
  const ms = latency?.median ?? null;
  const layers = mergeOthers([...rows.layers.values()], [...rows.others.values()], whole);
  const bytes = sum(layers, (row) => row.bytes);
  const us = sum(layers, (row) => row.us);
  const timedBy = { clock: latency?.clock ?? null, threads: env?.threads ?? null };
  const isTimed = ms !== null && times !== null && us > 0;
  return {
    model: infoOf(loaded, whole),
    totals: {
      layers: rows.layers.size,
      params: stored.params,
      bytes,
      macs: cost.macs,
      ms,
      ...timedBy,
    },
    layers: layers.map(({ us: own, ...row }) => ({
      ...row,
      // Tracing slows small nodes down. So the trace only gives each row's share, and the total is
      // the latency of runs without a trace.
      ms: isTimed ? (own / us) * ms : null,
      share: {
        bytes: ratio(row.bytes, bytes),
        macs: row.macs === null || !cost.macs ? null : row.macs / cost.macs,
        ms: isTimed ? own / us : null,
      },
    })),
  };
}

/**
 * The layers with `latency` divided among them. `inspect` times a model on its own; in a report of
 * several models the original's layers add up to the milliseconds of its row.
 */
export function timedAs(
  layers: readonly Layer[],
  latency: Pick<Latency, "median"> | null,
): Layer[] {
  return layers.map((layer) => ({
    ...layer,
    ms: latency && layer.share.ms !== null ? layer.share.ms * latency.median : null,
  }));
}

/** The facts about a model itself that each report begins with. */
export function infoOf(loaded: Loaded, cost: Whole): ModelInfo {
  const { name, bytes, hash, opset, model } = loaded;
  const port = ({ name, dtype, shape }: Value): Port => ({
    name,
    dtype: dtype ?? "?",
    shape: shape ?? [],
  });
  return {
    name,
    bytes,
    params: cost.params,
    macs: cost.macs,
    opset,
    inputs: model.graph.inputs.map(port),
    outputs: model.graph.outputs.map(port),
    hash,
  };
}

interface Rows {
  readonly layers: Map<Node, Row>;
  readonly others: Map<string, Row>;
  /** The row to which a node's figures are added; without a node, the row of operator `op`. */
  of(node: Node | null, op: string): Row;
}

/** A row per node with weights and a row per other operator, with all figures but the times. */
function rowsOf(model: Model, cost: ModelCost, stored: Params): Rows {
  const layers = new Map<Node, Row>();
  const others = new Map<string, Row>();
  const owners = new Map<Node, Row>();
  for (const { node, value } of weightsOf(model)) {
    if (layers.has(node)) continue;
    const shape = (value.shape ?? value.tensor?.shape ?? []).map(Number);
    const row = { name: node.name, op: node.op, shape, params: 0, bytes: 0, macs: 0, us: 0 };
    layers.set(node, row);
    owners.set(node, row);
    // The bias of a MatMul is a constant that the next node (an Add) adds; both share one row.
    const bias = biasReadBy(node);
    if (bias && bias.node !== node) owners.set(bias.node, row);
  }
  const of = (node: Node | null, op: string): Row => {
    const owner = node && owners.get(node);
    if (owner) return owner;
    const kind = node?.op ?? op;
    const row = others.get(kind) ?? {
      name: "other",
      op: kind,
      shape: [],
      params: 0,
      bytes: 0,
      macs: 0,
      us: 0,
    };
    others.set(kind, row);
    return row;
  };
  const counted = new Set<Tensor>();
  for (const graph of model.graph.walk()) {
    const constants = constantExpressions(graph);
    for (const node of graph.sorted()) {
      if (constants.has(node.output)) continue; // belongs to the node that reads the decoded weight
      const row = of(node, node.op);
      const { macs } = cost.perNode.get(node) ?? { macs: null };
      row.params += stored.of(node);
      // The MACs of an If or Loop are those of the nodes in its bodies, which have their own rows.
      const own = node.subgraphs.length > 0 ? 0 : macs;
      row.macs = row.macs === null || own === null ? null : row.macs + own;
      row.bytes += storedBytes(node, constants, counted);
    }
  }
  return { layers, others, of };
}

/**
 * Bytes of the constants that a node reads, directly or through the nodes that decode a compressed
 * weight. A constant that several nodes read is counted at the first; `counted` remembers it.
 */
function storedBytes(
  node: Node,
  constants: ReturnType<typeof constantExpressions>,
  counted: Set<Tensor>,
): number {
  let bytes = 0;
  const visit = (value: Value | null): void => {
    if (!value) return;
    if (value.tensor && !counted.has(value.tensor)) {
      counted.add(value.tensor);
      bytes += value.tensor.byteLength;
    } else if (constants.has(value)) value.producer?.inputs.forEach(visit);
  };
  node.inputs.forEach(visit);
  for (const body of node.subgraphs) bytes += outputBytes(body, counted);
  return bytes;
}

/** Bytes of the constants that a body (of an If, Loop or Scan) returns as they are. */
function outputBytes(body: Graph, counted: Set<Tensor>): number {
  let bytes = 0;
  for (const { tensor } of body.outputs) {
    if (!tensor || counted.has(tensor)) continue;
    counted.add(tensor);
    bytes += tensor.byteLength;
  }
  return bytes;
}

/**
 * The layers, then the operators with at least `worthARow` of any total, largest share first, then
 * one row that sums the remaining operators.
 */
function mergeOthers(layers: readonly Row[], others: readonly Row[], cost: Whole): Row[] {
  const all = [...layers, ...others];
  const [us, bytes] = [sum(all, (row) => row.us), sum(all, (row) => row.bytes)];
  const weight = (row: Row): number =>
    Math.max(
      ratio(row.us, us),
      ratio(row.bytes, bytes),
      ratio(row.macs ?? 0, cost.macs ?? 0),
      ratio(row.params, cost.params),
    );
  const shown = others.filter((row) => weight(row) >= worthARow);
  const rest = others.filter((row) => weight(row) < worthARow && weight(row) > 0);
  if (rest.length === 1) return [...layers, ...shown, ...rest];
  const macs = rest.some((row) => row.macs === null) ? null : sum(rest, (row) => row.macs ?? 0);
  const left: Row = {
    name: "other",
    op: `${rest.length} operators`,
    shape: [],
    params: sum(rest, (row) => row.params),
    bytes: sum(rest, (row) => row.bytes),
    macs,
    us: sum(rest, (row) => row.us),
  };
  shown.sort((a, b) => weight(b) - weight(a));
  return [...layers, ...shown, ...(rest.length > 0 ? [left] : [])];
}

async function latencyOf(loaded: Loaded, env: Environment): Promise<Timing["latency"]> {
  const opened = await openTimed(loaded.source, env);
  try {
    const [{ latency }] = await timeSessions([opened], env, timingMs(env) / 2);
    return latency;
  } finally {
    await opened.session.close();
  }
}

const ratio = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);
const sum = (rows: readonly Row[], of: (row: Row) => number): number =>
  rows.reduce((total, row) => total + of(row), 0);
