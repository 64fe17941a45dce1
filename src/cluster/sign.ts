/**
 * @file Signs requests to S3-compatible stores: AWS Signature Version 4, as "Signature Calculations
 * for the Authorization Header" of the Amazon S3 API reference describes it.
 */
import { createHash, createHmac } from "node:crypto";

export interface Keys {
  readonly id: string;
  readonly secret: string;
  readonly region: string;
  /** Of temporary keys. */
  readonly token?: string | undefined;
}

export interface Unsigned {
  readonly method: string;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
}

const sha256 = (data: string | Uint8Array): string =>
  createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac("sha256", key).update(text).digest();

/** The headers of the request, with those that sign it. `date` is the time of signing. */
export function signed(
  { method, url, headers = {}, body = new Uint8Array() }: Unsigned,
  { id, secret, region, token }: Keys,
  date: Date,
): Record<string, string> {
  const time = date.toISOString().replace(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const hash = sha256(body);
  const all: Record<string, string> = {
    ...headers,
    host: url.host,
    "x-amz-content-sha256": hash,
    "x-amz-date": time,
    ...(token !== undefined && { "x-amz-security-token": token }),
  };
  const names = Object.keys(all).sort();
  const list = names.join(";");
  const query = [...url.searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join("&");
  const request = [
    ...[method, url.pathname, query],
    ...names.map((name) => `${name}:${all[name].trim()}`),
    ...["", list, hash],
  ].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", time, scope, sha256(request)].join("\n");
  const key = [region, "s3", "aws4_request"].reduce(hmac, hmac(`AWS4${secret}`, day));
  const signature = hmac(key, text).toString("hex");
  const authorization = `AWS4-HMAC-SHA256 Credential=${id}/${scope},SignedHeaders=${list},Signature=${signature}`;
  // The host is sent by itself.
  const { host: _, ...sent } = all;
  return { ...sent, authorization };
}

/** Percent-encoded as the signature asks: all but letters, digits and "-._~". */
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
