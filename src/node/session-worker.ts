/** @file The script of a worker thread: runs sessions for engine-workers.ts, driven by messages. */
import { parentPort } from "node:worker_threads";
import { TersorError } from "../errors.ts";
import { rawTensor, type Tensor } from "../ir/tensor.ts";
import { openNodeRuntime } from "../runtime/ort-node.ts";
import type { Session } from "../runtime/runtime.ts";
import type { Parcel, Reply, Request } from "./engine-workers.ts";

/** All sessions, also closed ones, by the id of the request that opened them. */
const sessions = new Map<number, Session>();
const runtime = openNodeRuntime();

/** Does what the request asks for. */
async function answer(request: Request): Promise<Omit<Reply, "id">> {
  if (request.type === "open") {
    const session = await (await runtime).open(request.source, request.options);
    sessions.set(request.id, session);
    return { inputs: session.inputs, outputs: session.outputs };
  }
  // A closed session stays in the map: it refuses to run, with an error that says why.
  const session = sessions.get(request.session);
  if (!session) throw new Error(`there is no session ${request.session}`);
  if (request.type === "close") {
    await session.close();
    return {};
  }
  const feeds = Object.fromEntries(request.feeds.map(unpack));
  const results = await session.run(feeds, request.fetch ?? undefined);
  return { results: Object.entries(results).map(pack) };
}

function unpack([name, { dtype, shape, bytes }]: [string, Parcel]): [string, Tensor] {
  return [name, rawTensor(dtype, shape, bytes)];
}

function pack([name, value]: [string, Tensor]): [string, Parcel] {
  return [name, { dtype: value.dtype, shape: value.shape, bytes: value.bytes() }];
}

// Requests are answered one after the other, in order: the engine blocks this thread anyway, and
// callers rely on it (a close comes after the runs before it).
let last: Promise<void> = Promise.resolve();
parentPort?.on("message", (request: Request) => {
  last = last.then(async () => {
    let reply: Reply;
    try {
      reply = { id: request.id, ...(await answer(request)) };
    } catch (error) {
      const { code, what, where, remedy } = error as TersorError;
      const info =
        error instanceof TersorError ? { code, what, where, remedy } : { message: String(error) };
      reply = { id: request.id, error: info };
    }
    const owned = (reply.results ?? []).map(([, { bytes }]) => bytes.buffer as ArrayBuffer);
    parentPort?.postMessage(reply, [...new Set(owned)]);
  });
});
