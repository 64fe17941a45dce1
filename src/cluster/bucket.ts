/** @file A store in a bucket of an S3-compatible server (AWS, MinIO, R2 ...), over plain HTTP. */
import { errors, fail } from "../errors.ts";
import { type Keys, signed } from "./sign.ts";
import type { Store } from "./store.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/** A request that fails for reasons of the moment is sent so often, after these pauses in ms. */
const pauses = [200, 1000, 3000];

/**
 * The store at `s3://bucket/prefix`, or at `https://host/bucket/prefix` of another server. Keys are
 * those of the usual variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
 * AWS_REGION; AWS_ENDPOINT_URL names the server of s3 addresses. Throws TersorError "bad-usage".
 */
export function bucketStore(place: string, env: Variables): Store {
  const keys = keysOf(place, env);
  const base = addressOf(place, keys.region, env);
  const send = async (method: string, key: string, body?: Uint8Array): Promise<Response> => {
    const url = new URL(`${base}/${key}`);
    for (let tries = 0; ; tries++) {
      const headers = signed({ method, url, body }, keys, new Date());
      let why: string;
      try {
        const init = { method, headers, ...(body && { body: body as Uint8Array<ArrayBuffer> }) };
        const response = await fetch(url, init);
        if (response.ok || response.status === 404) return response;
        why = `HTTP ${response.status} ${codeIn(await response.text())}`.trim();
        // Too many requests, or a fault of the server: later it may work.
        if (response.status !== 429 && response.status < 500) tries = pauses.length;
      } catch (cause) {
        why = ((cause as Error).cause as Error | undefined)?.message ?? (cause as Error).message;
      }
      if (tries >= pauses.length) throw fail(errors.cannotRead(url.href, why));
      await new Promise((resolve) => setTimeout(resolve, pauses[tries]));
    }
  };
  return {
    name: place,
    has: async (key) => (await send("HEAD", key)).ok,
    async get(key) {
      const response = await send("GET", key);
      const bytes = new Uint8Array(await response.arrayBuffer());
      return response.ok ? bytes : null;
    },
    async put(key, bytes) {
      const { ok, status } = await send("PUT", key, bytes);
      if (!ok) throw fail(errors.cannotWrite(`${place}/${key}`, `HTTP ${status}`, "Name a bucket"));
    },
  };
}

function keysOf(place: string, env: Variables): Keys {
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = env;
  if (!id || !secret) {
    const why = "needs keys";
    const remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    throw fail(errors.badUsage(`--store ${place}`, why, remedy));
  }
  return { id, secret, token, region: env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? "us-east-1" };
}

/** The address of the bucket and the prefix, without a slash at its end. */
function addressOf(place: string, region: string, env: Variables): string {
  const [, s3] = /^s3:\/\/(.+)$/.exec(place) ?? [];
  const server = env.AWS_ENDPOINT_URL ?? `https://s3.${region}.amazonaws.com`;
  const address = (s3 === undefined ? place : `${server.replace(/\/+$/, "")}/${s3}`).replace(
    /\/+$/,
    "",
  );
  if (new URL(address).pathname.length > 1) return address;
  const remedy = "Write s3://bucket/prefix or https://host/bucket/prefix";
  throw fail(errors.badUsage(`--store ${place}`, "names no bucket", remedy));
}

/** The code in the server's answer, which is XML: "<Code>AccessDenied</Code>". */
const codeIn = (text: string): string => /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? "";
