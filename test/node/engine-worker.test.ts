/** @file An engine in a thread of its own keeps the promises of one in this thread. */
import { afterAll, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { startEngineWorker } from "../../src/node/engine-workers.ts";
import { linear } from "../support/tiny.ts";

const worker = startEngineWorker();
afterAll(() => worker.stop());

test("a closed session does not run, and closing it twice is no error", async () => {
  const bytes = linear(Float32Array.of(1, 2), Float32Array.of(0.5));
  const session = await worker.runtime.open({ bytes });
  const feeds = { x: tensor("float32", [1, 2], [10, 1]) };
  expect([...(await session.run(feeds)).y.numbers()]).toEqual([12.5]);
  await session.close();
  await expect(session.run(feeds)).rejects.toMatchObject({
    code: "run-failed",
    what: "the session is closed",
  });
  await session.close();
  const other = await worker.runtime.open({ bytes });
  expect([...(await other.run(feeds)).y.numbers()]).toEqual([12.5]);
});
