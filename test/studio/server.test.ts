/** @file The studio's server: what it answers, and each request that it refuses. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Studio, serveStudio } from "../../src/node/studio-server.ts";

const place = mkdtempSync(join(tmpdir(), "tersor-studio-"));
const folder = join(place, "page");
let studio: Studio;
beforeAll(async () => {
  mkdirSync(join(folder, "assets"), { recursive: true });
  writeFileSync(join(folder, "index.html"), "<!doctype html><head></head>page");
  writeFileSync(join(folder, "assets/main.js"), "script");
  writeFileSync(join(place, "secret.txt"), "secret");
  const bytes = new Uint8Array([1, 2, 3]);
  studio = await serveStudio({ folder, files: [{ name: 'a "b" & <c>.onnx', bytes }] });
});
afterAll(async () => {
  await studio.close();
  rmSync(place, { recursive: true, force: true });
});

interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Sends a request whose path is not normalised, as fetch would do; `path` is below the token. */
function ask({ path, method = "GET", headers = {}, body }: Asked = {}) {
  const { hostname, port, pathname } = new URL(studio.url);
  const options = { hostname, port, method, headers, path: path ?? pathname };
  return new Promise<{ status: number; text: string; headers: Record<string, unknown> }>(
    (resolve, reject) => {
      const sent = request(options, (response) => {
        let text = "";
        response.on("data", (part) => {
          text += part;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
        );
      });
      sent.on("error", reject);
      sent.end(body);
    },
  );
}
const below = (path: string) => new URL(studio.url).pathname + path;

describe("answers", () => {
  test("the page, with the names of the files that it opens", async () => {
    const { status, text, headers } = await ask();
    expect(status).toBe(200);
    expect(text).toBe(
      '<!doctype html><head><meta name="tersor-files" content="[&#34;a \\&#34;b\\&#34; &#38; &#60;c&#62;.onnx&#34;]"></head>page',
    );
    expect(headers["content-security-policy"]).toMatch(/^default-src 'self'; script-src 'self' /);
  });

  test("the files of the page and the model, by GET and HEAD", async () => {
    const script = await ask({ path: below("assets/main.js") });
    expect([script.text, script.headers["content-type"]]).toEqual([
      "script",
      "text/javascript; charset=utf-8",
    ]);
    const model = await ask({ path: below("files/a%20%22b%22%20%26%20%3Cc%3E.onnx") });
    expect([model.status, model.text]).toEqual([200, "\x01\x02\x03"]);
    const head = await ask({ path: below("assets/main.js"), method: "HEAD" });
    expect([head.text, head.headers["content-length"]]).toEqual(["", "6"]);
  });

  test("with the engine of its own package where the page has none", async () => {
    const path = below("assets/ort-wasm-simd-threaded.wasm");
    const { status, headers } = await ask({ path, method: "HEAD" });
    expect([status, headers["content-type"]]).toEqual([200, "application/wasm"]);
  });
});

describe("refuses", () => {
  test("a request without the token", async () => {
    const { pathname } = new URL(studio.url);
    const other = `/${"0".repeat(pathname.length - 2)}/`;
    for (const path of ["/", "/index.html", "/assets/main.js", other, pathname.slice(0, -1)]) {
      expect((await ask({ path })).status, path).toBe(404);
    }
  });

  test("another host: a name that a site made lead here", async () => {
    const { port } = new URL(studio.url);
    for (const host of ["evil.example", `evil.example:${port}`, "127.0.0.1", "localhost"]) {
      expect((await ask({ headers: { host } })).status, host).toBe(403);
    }
    expect((await ask({ headers: { host: `localhost:${port}` } })).status).toBe(200);
  });

  test("another origin", async () => {
    const { origin } = new URL(studio.url);
    for (const other of ["https://evil.example", "null", `${origin}0`, origin.slice(0, -1)]) {
      expect((await ask({ headers: { origin: other } })).status, other).toBe(403);
    }
    expect((await ask({ headers: { origin } })).status).toBe(200);
  });

  test("paths out of the folder", async () => {
    const paths = [
      "../secret.txt",
      "..%2fsecret.txt",
      "assets/../../secret.txt",
      "%2e%2e/secret.txt",
    ];
    const odd = ["..\\secret.txt", "..%5csecret.txt", join(place, "secret.txt"), "assets", "%00"];
    for (const path of [...paths, ...odd]) {
      const { status, text } = await ask({ path: below(path) });
      expect([status, text.includes("secret")], path).toEqual([404, false]);
    }
  });

  test("an upload of any size, and other methods", async () => {
    expect((await ask({ method: "POST", body: "x" })).status).toBe(413);
    expect((await ask({ headers: { "content-length": "1" }, body: "x" })).status).toBe(413);
    const chunked = { "transfer-encoding": "chunked" };
    expect((await ask({ method: "PUT", headers: chunked, body: "x" })).status).toBe(413);
    expect((await ask({ method: "DELETE" })).status).toBe(405);
  });

  test("connections from other machines: it listens on the loopback address alone", async () => {
    expect(new URL(studio.url).hostname).toBe("127.0.0.1");
    const outer = Object.values(networkInterfaces())
      .flat()
      .find((address) => address && !address.internal && address.family === "IPv4");
    if (!outer) return;
    const { port } = new URL(studio.url);
    const reached = await new Promise((resolve) => {
      const socket = connect({ host: outer.address, port: Number(port) });
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    });
    expect(reached).toBe(false);
  });

  test("to start without the page, or on a port that is taken", async () => {
    const missing = await serveStudio({ folder: join(place, "none") }).catch((error) => error);
    expect(missing.code).toBe("no-studio");
    const port = Number(new URL(studio.url).port);
    const taken = await serveStudio({ folder, port }).catch((error) => error);
    expect(taken.code).toBe("cannot-listen");
  });
});
