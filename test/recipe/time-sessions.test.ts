/** @file Sessions that are opened anew for timing: how many, and that all of them are closed. */
import { expect, test } from "vitest";
import { openTimed, timeSessions } from "../../src/recipe/time-sessions.ts";
import type { Session } from "../../src/runtime/runtime.ts";

/** An engine whose runs take 6 ms of a clock that nothing else moves; it fails at session `last`. */
function engine(last = Number.POSITIVE_INFINITY) {
  let now = 0;
  let opened = 0;
  const open = new Set<Session>();
  const runtime = {
    name: "node",
    version: "",
    profile: async () => null,
    async open() {
      if (++opened === last) throw new Error("no memory");
      const session: Session = {
        ...{ inputs: [], outputs: [] },
        async run() {
          if (!open.has(session)) throw new Error("is closed");
          now += 6;
          return {};
        },
        close: async () => void open.delete(session),
      };
      open.add(session);
      return session;
    },
  } as const;
  const platform = { wallMs: () => now, cpuMs: () => null } as never;
  const env = { runtime, platform, threads: 1, feeds: {}, signal: null };
  return { env, open, count: () => opened };
}

const source = { bytes: new Uint8Array() };

test("two models are opened anew eight times each, and only the given sessions stay open", async () => {
  const { env, open, count } = engine();
  const models = [await openTimed(source, env), await openTimed(source, env)];
  const [, timing] = await timeSessions(models, env, 3000);
  expect(timing.rounds).toHaveLength(9);
  expect(timing.ratio).toEqual({ value: 1, ci95: [1, 1] });
  expect(count()).toBe(2 + 2 * 8);
  expect([...open]).toEqual(models.map(({ session }) => session));
});

test("one model is not compared, so its session stays", async () => {
  const { env, count } = engine();
  await timeSessions([await openTimed(source, env)], env, 3000);
  expect(count()).toBe(1);
});

test("a session that cannot be opened anew leaves none of the others open", async () => {
  for (const last of [3, 4, 9]) {
    const { env, open } = engine(last);
    const models = [await openTimed(source, env), await openTimed(source, env)];
    await expect(timeSessions(models, env, 3000)).rejects.toThrow("no memory");
    expect([...open]).toEqual(models.map(({ session }) => session));
  }
});
