/** @file Times open models in turn on the user's inputs, with sessions opened anew in between. */
import type { Model } from "../ir/model.ts";
import {
  type LatencyOptions,
  measureLatency,
  type Timed,
  type Timing,
} from "../measure/latency.ts";
import { hasTrait } from "../ops/traits.ts";
import type { Feeds, Session, Source } from "../runtime/runtime.ts";
import type { Environment } from "./environment.ts";

/** A model that is open in the engine. */
export interface Opened {
  readonly source: Source;
  readonly session: Session;
}

type Around = Pick<
  Environment,
  "runtime" | "platform" | "threads" | "feeds" | "manyFeeds" | "signal"
>;

/** Whether the work of a run depends on its input: an If or a Loop whose course is not constant. */
export const decides = ({ graph }: Model): boolean =>
  [...graph.walk()].some((body) =>
    [...body.nodes].some((node) => hasTrait(node, "branches") || hasTrait(node, "repeats")),
  );

/** Opens a model as it is timed. Throws TersorError "cannot-open". */
export async function openTimed(source: Source, { runtime, threads }: Around): Promise<Opened> {
  return { source, session: await runtime.open(source, { threads }) };
}

/**
 * Times the models in turn on `env.feeds` for about `budgetMs` of wall time, see `measureLatency`.
 * Several are opened anew between sittings; the sessions that were given stay open. With `varies`
 * (some model decides by its input what to run) all are timed over the same records one after the
 * other.
 */
export async function timeSessions(
  models: readonly Opened[],
  env: Around,
  budgetMs: number,
  {
    clock,
    onProgress,
    varies = false,
  }: Pick<LatencyOptions, "clock" | "onProgress"> & { readonly varies?: boolean } = {},
): Promise<Timing[]> {
  const { platform, threads, signal } = env;
  const many = varies ? await env.manyFeeds?.() : null;
  const feeds = many && many.length > 0 ? many : [env.feeds];
  const candidates = models.map((model, i) => renewing(String(i), model, env, feeds));
  const isCompared = models.length > 1;
  try {
    return await measureLatency(
      candidates.map(({ name, run, renew }) => ({ name, run, ...(isCompared && { renew }) })),
      {
        ...{ platform, threads, budgetMs, clock, signal: signal ?? undefined },
        ...(onProgress && { onProgress }),
      },
    );
  } finally {
    for (const { close } of candidates) await close();
  }
}

/** `close` closes the session that was opened last, unless it is the first one. */
function renewing(
  name: string,
  { source, session: first }: Opened,
  { runtime, threads }: Around,
  feeds: readonly Feeds[],
): Required<Timed> & { close(): Promise<void> } {
  let current = first;
  let runs = 0;
  const close = async (): Promise<void> => {
    const last = current;
    current = first;
    if (last !== first) await last.close();
  };
  return {
    name,
    run: () => current.run(feeds[runs++ % feeds.length]),
    async renew() {
      // Opened before the other is closed, or it might get the very same memory.
      const next = await runtime.open(source, { threads });
      await close();
      current = next;
    },
    close,
  };
}
