/** @file Stores keep bytes by key: a folder, and a bucket whose server checks signatures. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bucketStore } from "../../src/cluster/bucket.ts";
import { signed } from "../../src/cluster/sign.ts";
import { folderStore, getBlob, openStore, putBlob, type Store } from "../../src/cluster/store.ts";
import { temporaryFolder } from "../cli/run.ts";

const keys = {
  id: "AKIAIOSFODNN7EXAMPLE",
  secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  region: "us-east-1",
};
const date = new Date("2013-05-24T00:00:00Z");
const signatureOf = (headers: Record<string, string>) =>
  /Signature=(\w+)/.exec(headers.authorization)?.[1];

describe("the examples of the S3 API reference", () => {
  test("GET Object", () => {
    const url = new URL("https://examplebucket.s3.amazonaws.com/test.txt");
    const headers = signed({ method: "GET", url, headers: { range: "bytes=0-9" } }, keys, date);
    expect(signatureOf(headers)).toBe(
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
  });

  test("PUT Object", () => {
    const url = new URL("https://examplebucket.s3.amazonaws.com/test%24file.text");
    const own = {
      date: "Fri, 24 May 2013 00:00:00 GMT",
      "x-amz-storage-class": "REDUCED_REDUNDANCY",
    };
    const body = new TextEncoder().encode("Welcome to Amazon S3.");
    const headers = signed({ method: "PUT", url, headers: own, body }, keys, date);
    expect(signatureOf(headers)).toBe(
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
  });

  test("GET Bucket (List Objects)", () => {
    const url = new URL("https://examplebucket.s3.amazonaws.com/?prefix=J&max-keys=2");
    expect(signatureOf(signed({ method: "GET", url }, keys, date))).toBe(
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
  });
});

const folder = temporaryFolder();
const held = new Map<string, Uint8Array>();
/** How many requests are answered with 503 before one is taken. */
let busy = 0;
let server: Server;
const env = { AWS_ACCESS_KEY_ID: "me", AWS_SECRET_ACCESS_KEY: "secret" };
const placeOf = (name: string) =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const bytes = new Uint8Array(Buffer.concat(parts));
    const answer = (status: number, text: string | Uint8Array = "") => {
      response.writeHead(status);
      response.end(text);
    };
    const isSigned =
      /^AWS4-HMAC-SHA256 Credential=me\/\d{8}\/us-east-1\/s3\/aws4_request,/.test(
        request.headers.authorization ?? "",
      ) &&
      request.headers["x-amz-content-sha256"] === createHash("sha256").update(bytes).digest("hex");
    if (!isSigned) return answer(403, "<Error><Code>AccessDenied</Code></Error>");
    if (busy-- > 0) return answer(503);
    const path = request.url ?? "";
    if (request.method === "PUT") {
      held.set(path, bytes);
      return answer(200);
    }
    const found = held.get(path);
    if (found) answer(200, request.method === "HEAD" ? "" : found);
    else answer(404);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  folder.close();
});

const stores: Record<string, () => Store> = {
  "a folder": () => folderStore(folder.in("store")),
  "a bucket": () => bucketStore(placeOf("bucket/tersor"), env),
};
describe.each(Object.keys(stores))("%s", (name) => {
  test("gives back what it holds, and knows what it has not", async () => {
    const store = stores[name]();
    expect([await store.has("results/a.json"), await store.get("results/a.json")]).toEqual([
      false,
      null,
    ]);
    await store.put("results/a.json", Uint8Array.of(1, 2, 3));
    expect(await store.has("results/a.json")).toBe(true);
    expect(await store.get("results/a.json")).toEqual(Uint8Array.of(1, 2, 3));
    const hash = await putBlob(store, Uint8Array.of(7));
    expect(hash).toBe("ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879");
    expect(await getBlob(store, hash)).toEqual(Uint8Array.of(7));
    await expect(getBlob(store, "0".repeat(64))).rejects.toMatchObject({ code: "cannot-read" });
  });
});

test("a bucket's server that is busy is asked again; one that refuses is named", async () => {
  const store = bucketStore(placeOf("bucket"), env);
  busy = 1;
  await store.put("x", Uint8Array.of(5));
  expect(held.get("/bucket/x")).toEqual(Uint8Array.of(5));
  const other = bucketStore(placeOf("bucket"), { ...env, AWS_ACCESS_KEY_ID: "you" });
  await expect(other.get("x")).rejects.toMatchObject({ what: expect.stringContaining("403") });
  const s3 = bucketStore("s3://bucket", { ...env, AWS_ENDPOINT_URL: placeOf("") });
  expect(await s3.get("x")).toEqual(Uint8Array.of(5));
});

test("damaged bytes are refused, and so is a store that cannot be shared", async () => {
  const store = folderStore(folder.in("damaged"));
  const hash = await putBlob(store, Uint8Array.of(1));
  writeFileSync(folder.in(`damaged/blobs/${hash}`), "other");
  await expect(getBlob(store, hash)).rejects.toMatchObject({
    what: expect.stringContaining("damaged"),
  });
  expect(() => openStore(undefined, "redis://far.example:6379")).toThrow("--store");
  expect(openStore(undefined, "redis://localhost:6379").name).toContain("tersor-store");
  expect(() => bucketStore("s3://bucket", {})).toThrow("AWS_ACCESS_KEY_ID");
  expect(() => bucketStore("https://host", env)).toThrow("bucket");
});
