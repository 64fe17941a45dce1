/** @file A runner whose recipes are applied by `tersor worker` on any machine, over a queue. */
import type { Job } from "bullmq";
import { errors, fail } from "../errors.ts";
import { jobHash, jobOf } from "../recipe/job.ts";
import { type Failed, type OpenRunner, type Tried, textFor } from "../recipe/runner.ts";
import type { ScreenPlan, Seen } from "../recipe/search/screen.ts";
import type { Step } from "../recipe/steps.ts";
import { sha256Text } from "../util/sha256.ts";
import { briefOf } from "./brief.ts";
import { send } from "./parcel.ts";
import { connect, type Posted, queueName } from "./redis.ts";
import { type Answer, getResult } from "./results.ts";
import { openStore } from "./store.ts";

export interface QueuedOptions {
  /** The server: redis://host:port. */
  readonly url: string;
  /** See `openStore`. */
  readonly store?: string | undefined;
  /** How many trials are in the queue at a time (default 16). */
  readonly jobs?: number | undefined;
}

/** Finished jobs are forgotten after so many seconds; their results stay in the store. */
const forgotten = { age: 3600 };
/** After so many ms the server is asked, in case the event of a job was lost. */
const patience = 30_000;

/**
 * Trials as jobs of a queue. The id of a job is the hash of all that decides its result: what is in
 * the store is not computed again, and a worker that comes back late does no harm. Times are taken in
 * this process, all on one machine.
 */
export function queued({ url, store: place, jobs = 16 }: QueuedOptions): OpenRunner {
  return async (assignment) => {
    const { settings, job } = assignment;
    const { signal, onEvent = () => {} } = settings;
    const brief = briefOf(assignment, "");
    const { bullmq, connection } = await connect(url);
    const store = openStore(place, url);
    const parcel = await send(store, brief);
    const key = await sha256Text(JSON.stringify(parcel));
    const name = queueName(job.versions.engine);
    const queue = new bullmq.Queue<Posted, Answer>(name, { connection });
    const events = new bullmq.QueueEvents(name, { connection });
    // Both connect again by themselves.
    queue.setMaxListeners(0); // each trial that is waited for listens
    queue.on("error", () => {});
    events.on("error", () => {});
    await events.waitUntilReady();
    if ((await queue.getWorkersCount()) === 0) {
      const text = `no worker is at ${name} yet: start tersor worker with the same --queue`;
      onEvent({ type: "warning", text });
    }
    const open = new Set<string>();
    let stop = (): void => {};
    const stopped = new Promise<never>((_, reject) => {
      stop = () => reject(fail(errors.aborted("queue")));
    });
    stopped.catch(() => {});
    signal?.addEventListener("abort", stop, { once: true });

    const post = async (posted: Posted): Promise<Job<Posted, Answer>> => {
      const before = await queue.getJob(posted.id);
      // It ended without a result, or its result is gone from the store.
      if (before && ((await before.isCompleted()) || (await before.isFailed()))) {
        await before.remove();
      }
      const kept = { removeOnComplete: forgotten, removeOnFail: forgotten };
      return queue.add("trial", posted, { jobId: posted.id, ...kept });
    };
    const answerOf = async (posted: Job<Posted, Answer>): Promise<Answer> => {
      for (;;) {
        try {
          return await posted.waitUntilFinished(events, patience);
        } catch (cause) {
          const { message } = cause as Error;
          if (/timed out before finishing/.test(message)) continue;
          const isLost = /stalled/.test(message);
          const reason = isLost ? "its workers were lost, more than twice" : message;
          return { reason, isMistake: false };
        }
      }
    };
    /** What is in the store of a recipe, or comes to be there by a worker. */
    const found = async <T extends Tried | Seen>(
      steps: readonly Step[],
      plan: ScreenPlan | null,
    ): Promise<T | Failed> => {
      const sent = textFor(steps);
      if ("reason" in sent) return sent;
      const hash = await jobHash(jobOf(job, steps));
      const measured = settings.measures === false ? `${hash}-unmeasured` : hash;
      const id = plan ? await sha256Text(JSON.stringify([measured, plan])) : measured;
      const known = await getResult<T>(store, id);
      if (known) return known;
      open.add(id);
      const posted = await post({ id, recipe: sent.text, plan, key, parcel });
      const answer = await Promise.race([answerOf(posted), stopped]);
      open.delete(id);
      if ("reason" in answer) return answer;
      const lost: Failed = { reason: `its result is not in ${store.name}`, isMistake: false };
      return (await getResult<T>(store, id)) ?? lost;
    };
    return {
      lanes: jobs,
      run: (steps) => found<Tried>(steps, null),
      screen: (steps, plan) => found<Seen>(steps, plan),
      alone: (work) => work(),
      async close() {
        signal?.removeEventListener("abort", stop);
        stop();
        // What no worker has begun is nobody's any more; what one has begun, it will finish.
        for (const id of open) await queue.remove(id).catch(() => {});
        await Promise.all([events.close(), queue.close()]);
      },
    };
  };
}
