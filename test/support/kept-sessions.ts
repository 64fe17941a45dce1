/** @file A runtime that opens equal files once: tests open the same few models again and again. */
import { createHash } from "node:crypto";
import { errors, fail } from "../../src/errors.ts";
import type { Runtime, Session } from "../../src/runtime/runtime.ts";

/** Sessions that are kept open at a time. */
const MOST = 24;

/**
 * `runtime`, which keeps the sessions that were opened last and hands one of them out again for the
 * same bytes and the same options. Each holder has a session of its own to close, which runs nothing
 * afterwards. Models with external data are opened anew.
 */
export function keepSessions(runtime: Runtime): Runtime {
  const kept = new Map<string, { session: Session; holders: number }>();
  const closeOldest = async (): Promise<void> => {
    const oldest = [...kept].filter(([, { holders }]) => holders === 0);
    for (const [key, { session }] of oldest.slice(0, Math.max(0, kept.size - MOST))) {
      kept.delete(key);
      await session.close();
    }
  };
  return {
    ...runtime,
    async open(source, options = {}) {
      if (source.external) return runtime.open(source, options);
      const key = createHash("sha1").update(source.bytes).digest("hex") + JSON.stringify(options);
      const entry = kept.get(key) ?? { session: await runtime.open(source, options), holders: 0 };
      entry.holders++;
      // The last one of the map is the one that was asked for last.
      kept.delete(key);
      kept.set(key, entry);
      await closeOldest();
      const { inputs, outputs } = entry.session;
      let isOpen = true;
      return {
        inputs,
        outputs,
        async run(feeds, fetch) {
          if (!isOpen)
            throw fail(errors.runFailed("test", "the session is closed", "Open it again"));
          return entry.session.run(feeds, fetch);
        },
        async close() {
          if (isOpen) entry.holders--;
          isOpen = false;
        },
      };
    },
  };
}
