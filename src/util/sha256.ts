/** @file SHA-256 in Node and in browsers. */

/** What is used of Node's module "crypto". */
interface NodeCrypto {
  createHash(algorithm: "sha256"): {
    update(bytes: Uint8Array): { digest(encoding: "hex"): string };
  };
}

/** Node's modules; undefined in browsers. */
const { process: node } = globalThis as {
  readonly process?: { getBuiltinModule?(id: "node:crypto"): NodeCrypto };
};

/** The digest of `bytes` in hexadecimal. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  // Web Crypto copies what it digests, which for a model of half a gigabyte is as much again.
  const own = node?.getBuiltinModule?.("node:crypto");
  if (own) return own.createHash("sha256").update(bytes).digest("hex");
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The digest of the text in UTF-8. */
export const sha256Text = (text: string): Promise<string> => sha256(new TextEncoder().encode(text));
