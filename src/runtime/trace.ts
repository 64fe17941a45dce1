/** @file Reads ONNX Runtime's trace (Chrome trace events): the median time of each node. */
import { median } from "../numeric/statistics.ts";
import type { NodeTime } from "./runtime.ts";

interface TraceEvent {
  /** "Node" for the execution of a node. */
  readonly cat: string;
  readonly name: string;
  /** Start and duration in microseconds. */
  readonly ts: number;
  readonly dur: number;
  readonly args?: { readonly op_name?: string; readonly node_index?: string };
}

const suffix = "_kernel_time";

/**
 * The nodes in order of their first execution, with the median of their time per run; the first
 * `warmup` runs do not count. If a node runs several times in one run (in a loop), these times are
 * added. If, Loop and Scan only count the time before the first and after the last node of their
 * bodies, whose nodes are listed themselves. Writing the trace takes a few microseconds per node,
 * so the sum is larger than the time of an untraced run; only the shares are reliable.
 */
export function nodeTimes(trace: string, warmup: number): NodeTime[] {
  const events = JSON.parse(trace) as TraceEvent[];
  const runs = events.filter(({ name }) => name === "model_run").sort(byTime);
  const kernels = events.filter(({ cat, name }) => cat === "Node" && name.endsWith(suffix));
  const nodes = new Map<string, { node: string; op: string; us: Float64Array }>();
  const enclosing: { end: number; us: Float64Array; inside: number | null }[] = [];
  let run = 0;
  for (const { name, ts, dur, args } of kernels.sort(byTime)) {
    while (run < runs.length && ts >= runs[run].ts + runs[run].dur) run++;
    if (run < warmup || run >= runs.length) continue;
    const op = args?.op_name ?? "";
    const key = `${name} ${op} ${args?.node_index}`;
    let entry = nodes.get(key);
    if (!entry) {
      entry = { node: name.slice(0, -suffix.length), op, us: new Float64Array(runs.length) };
      nodes.set(key, entry);
    }
    entry.us[run] += dur;
    while (enclosing.length > 0 && enclosing.at(-1)!.end <= ts) enclosing.pop();
    const outer = enclosing.at(-1);
    if (outer) {
      outer.us[run] -= ts + dur - (outer.inside ?? ts);
      outer.inside = ts + dur;
    }
    enclosing.push({ end: ts + dur, us: entry.us, inside: null });
  }
  return [...nodes.values()].map(({ node, op, us }) => ({
    node,
    op,
    us: median(us.slice(warmup)),
  }));
}

/** Orders events by start, the longer one first, so that an enclosing event comes before others. */
function byTime(a: TraceEvent, b: TraceEvent): number {
  return a.ts - b.ts || b.dur - a.dur;
}
