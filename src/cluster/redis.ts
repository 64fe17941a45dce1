/** @file The queue of trials: BullMQ over Redis or Valkey. */
import { errors, fail } from "../errors.ts";
import type { ScreenPlan } from "../recipe/search/screen.ts";
import { version } from "../version.ts";
import type { Parcel } from "./parcel.ts";

/** What a job of the queue holds; its id is that of its result. */
export interface Posted {
  readonly id: string;
  readonly recipe: string;
  /** How the recipe is screened; null: it is a trial. */
  readonly plan: ScreenPlan | null;
  /** Equal for equal parcels. */
  readonly key: string;
  readonly parcel: Parcel;
}

/**
 * The queue for an engine, such as "onnxruntime-node 1.30.0": workers of another version of tersor or
 * of the engine, which might give other results, do not see its jobs.
 */
export const queueName = (engine: string): string =>
  `tersor-${version}-${engine}`.replace(/[^\w.-]+/g, "-");

export interface Connected {
  readonly bullmq: typeof import("bullmq");
  readonly connection: { readonly url: string; readonly maxRetriesPerRequest: null };
}

/**
 * BullMQ, and how it connects. Throws TersorError "bad-usage" for an address that is none,
 * "package-missing", and "cannot-read" where no server answers.
 */
export async function connect(url: string): Promise<Connected> {
  const where = `--queue ${url.replace(/\/\/.*@/, "//")}`;
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) {
    throw fail(errors.badUsage(where, "is no address", "Write redis://host:port"));
  }
  const [{ Redis }, bullmq] = await Promise.all([import("ioredis"), import("bullmq")]).catch(
    (cause: unknown) => {
      throw fail(errors.packageMissing(where, "bullmq ioredis"), cause);
    },
  );
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  // The reason is in what `connect` throws, or in the event before it.
  let why = "";
  client.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    why = code ?? message;
  });
  try {
    await client.connect();
    await client.ping();
  } catch (cause) {
    throw fail(errors.cannotRead(where, `no server answers (${why || (cause as Error).message})`));
  } finally {
    client.disconnect();
  }
  return { bullmq, connection: { url, maxRetriesPerRequest: null } };
}
