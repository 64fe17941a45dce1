/** @file Inspection: what a model consists of, and where its bytes, arithmetic and time sit. */
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { measureLatency } from "../measure/latency.ts";
import { biasReadBy } from "../ops/bias.ts";
import { constantExpressions } from "../ops/constant.ts";
import { costModel, type ModelCost } from "../ops/cost.ts";
import { weightsOf } from "../ops/weights.ts";
import { dimsOf, timingMs } from "./assess.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";
import { timeNodes } from "./time-nodes.ts";

export interface Port {
  readonly name: string;
  readonly dtype: string;
  /** A number, a symbol such as "N", or null where the file does not say. */
  readonly shape: readonly (number | string | null)[];
}

export interface ModelInfo {
  readonly name: string;
  readonly bytes: number;
  readonly params: number;
  readonly macs: number | null;
  readonly opset: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Content hash of the file, so that a report names its input exactly. */
  readonly hash: string;
}

/**
 * A weighted node with its bias and what the engine fused into it, or ("other") the rest of the
 * graph by operator. `ms` is its share of the measured latency; shares are 0..1 of the totals.
 */
export interface Layer {
  readonly name: string;
  readonly op: string;
  /** Shape of the main weight. */
  readonly shape: readonly number[];
  readonly params: number;
  /** Of the weights as the file stores them. */
  readonly bytes: number;
  readonly macs: number | null;
  readonly ms: number | null;
  readonly share: {
    readonly bytes: number;
    readonly macs: number | null;
    readonly ms: number | null;
  };
}

export interface Totals {
  /** Weighted nodes: the rows called "other" are none. */
  readonly layers: number;
  readonly params: number;
  readonly bytes: number;
  readonly macs: number | null;
  readonly ms: number | null;
}

/** What `tersor inspect` prints. */
export interface Inspection {
  readonly model: ModelInfo;
  readonly totals: Totals;
  readonly layers: readonly Layer[];
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

/** Operators below this share of everything share one row. */
const worthARow = 0.02;

/** Without an environment (a model that no engine opens) nothing is timed and open sizes count as 1. */
export async function inspect(loaded: Loaded, env: Environment | null): Promise<Inspection> {
  const { model } = loaded;
  const cost = costModel(model, env ? { dims: dimsOf(env.feeds) } : {});
  const rows = rowsOf(model, cost);
  const times = env && (await timeNodes(model, env));
  for (const { node, op, us } of times ?? []) rows.of(node, op).us += us;
  const ms = env && (await medianMs(loaded, env));
  const layers = mergeOthers([...rows.layers.values()], [...rows.others.values()], cost);
  const bytes = sum(layers, (row) => row.bytes);
  const us = sum(layers, (row) => row.us);
  const isTimed = ms !== null && times !== null && us > 0;
  return {
    model: infoOf(loaded, cost),
    totals: { layers: rows.layers.size, params: cost.params, bytes, macs: cost.macs, ms },
    layers: layers.map(({ us: own, ...row }) => ({
      ...row,
      // The trace slows small nodes down: it tells the shares, the clock the total.
      ms: isTimed ? (own / us) * ms : null,
      share: {
        bytes: ratio(row.bytes, bytes),
        macs: row.macs === null || !cost.macs ? null : row.macs / cost.macs,
        ms: isTimed ? own / us : null,
      },
    })),
  };
}

/** What every report says of the model itself. */
export function infoOf(loaded: Loaded, cost: Pick<ModelCost, "params" | "macs">): ModelInfo {
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
  /** The row a node's figures go to; without a node that of the operator. */
  of(node: Node | null, op: string): Row;
}

function rowsOf(model: Model, cost: ModelCost): Rows {
  const layers = new Map<Node, Row>();
  const others = new Map<string, Row>();
  const owners = new Map<Node, Row>();
  for (const { node, value } of weightsOf(model)) {
    if (layers.has(node)) continue;
    const shape = (value.shape ?? value.tensor?.shape ?? []).map(Number);
    const row = { name: node.name, op: node.op, shape, params: 0, bytes: 0, macs: 0, us: 0 };
    layers.set(node, row);
    owners.set(node, row);
    // Behind a product the bias is what the next node adds.
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
      if (constants.has(node.output)) continue; // counted with the node that reads the end of the chain
      const row = of(node, node.op);
      const { params, macs } = cost.perNode.get(node) ?? { params: 0, macs: null };
      row.params += params;
      // If and Loop repeat what their bodies' nodes, which have rows of their own, do.
      const own = node.subgraphs.length > 0 ? 0 : macs;
      row.macs = row.macs === null || own === null ? null : row.macs + own;
      row.bytes += storedBytes(node, constants, counted);
    }
  }
  return { layers, others, of };
}

/** Bytes of the constants that a node's weights are made of, each counted where it is read first. */
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

/** Constants that a body returns as they are. */
function outputBytes(body: Graph, counted: Set<Tensor>): number {
  let bytes = 0;
  for (const { tensor } of body.outputs) {
    if (!tensor || counted.has(tensor)) continue;
    counted.add(tensor);
    bytes += tensor.byteLength;
  }
  return bytes;
}

/** Layers in network order, then the operators that matter, then one row for what is left. */
function mergeOthers(layers: readonly Row[], others: readonly Row[], cost: ModelCost): Row[] {
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

async function medianMs(loaded: Loaded, env: Environment): Promise<number> {
  const session = await env.runtime.open(loaded.source, { threads: env.threads });
  try {
    const run = () => session.run(env.feeds);
    const [{ latency }] = await measureLatency([{ name: loaded.name, run }], {
      platform: env.platform,
      signal: env.signal ?? undefined,
      budgetMs: timingMs(env) / 2,
    });
    return latency.median;
  } finally {
    await session.close();
  }
}

const ratio = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);
const sum = (rows: readonly Row[], of: (row: Row) => number): number =>
  rows.reduce((total, row) => total + of(row), 0);
