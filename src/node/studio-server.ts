/**
 * @file Serves the studio's page and one model to this machine only. Nothing is uploaded or written:
 * the page compresses in the browser.
 */
import { randomBytes } from "node:crypto";
import { createReadStream, readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { errors, fail } from "../errors.ts";

/** Where `npm run build:studio` puts the page; the same from src/ and from dist/. */
export const studioFolder = fileURLToPath(new URL("../../dist/studio/", import.meta.url));

/** A file that the page loads when it opens: the model, or its external data. */
export interface ServedFile {
  /** Its path, relative to the model's folder. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface StudioOptions {
  /** The folder with the built page (default: the one that is shipped). */
  readonly folder?: string | undefined;
  /** The model that the page opens with, then its external data. */
  readonly files?: readonly ServedFile[] | undefined;
  /** Port to listen on (default 0: a free one). */
  readonly port?: number | undefined;
  /** Hashes of inline scripts that pages made by the library contain: reports. */
  readonly scriptHashes?: readonly string[] | undefined;
}

export interface Studio {
  /** The address to open. Its first folder is the token, without which nothing is served. */
  readonly url: string;
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** The only address that the server listens on. */
const host = "127.0.0.1";
/** The prefix, below the token, of the files to open. */
const filesPath = "files/";
/** The WebAssembly engine, which the package leaves to its dependency; see `files` in package.json. */
const engine = /^ort-wasm[\w.-]*\.wasm$/;

/**
 * Starts the server on the loopback address. A request must name the server's own host and port, and
 * come from its own pages if it has an origin: otherwise another site could reach it through the
 * user's browser (DNS rebinding, cross-site requests). Only GET and HEAD are answered, only the files
 * that were there at the start. Throws TersorError "no-studio" and "cannot-listen".
 */
export async function serveStudio(options: StudioOptions = {}): Promise<Studio> {
  const { folder = studioFolder, files = [], port = 0, scriptHashes = [] } = options;
  const pages = listed(folder);
  const opened = new Map(files.map(({ name, bytes }) => [filesPath + encoded(name), bytes]));
  const page = withFiles(await readFile(join(folder, "index.html"), "utf8"), files);
  const token = randomBytes(16).toString("hex");
  const security = headersFor(scriptHashes);

  const server = createServer((request, response) => {
    const refusal = refusalOf(request, server);
    if (refusal) return answer(response, ...refusal);
    const path = pathIn(request.url ?? "", token);
    if (path === null) return answer(response, 404, "Open the address with its token.");
    if (path === "" || path === "index.html") return send(request, response, page, ".html");
    const bytes = opened.get(path);
    if (bytes) return send(request, response, bytes, "");
    const file = pages.get(path) ?? enginePath(path);
    if (file === null) return answer(response, 404, "There is no such file.");
    head(response, statSync(file).size, extname(file));
    if (request.method === "HEAD") return response.end();
    createReadStream(file)
      .on("error", () => response.destroy())
      .pipe(response);
  });

  /** Sets the headers of a successful answer. */
  function head(response: ServerResponse, length: number, extension: string): void {
    response.writeHead(200, {
      ...security,
      "Content-Type": types[extension] ?? "application/octet-stream",
      "Content-Length": length,
    });
  }
  function send(
    request: IncomingMessage,
    response: ServerResponse,
    body: string | Uint8Array,
    extension: string,
  ): void {
    head(response, Buffer.byteLength(body), extension);
    response.end(request.method === "HEAD" ? undefined : body);
  }

  await listen(server, port);
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${bound}/${token}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Why a request is refused, as a status and a sentence; null if it is not. */
function refusalOf(request: IncomingMessage, server: Server): [number, string] | null {
  const { port } = server.address() as AddressInfo;
  const own = [`${host}:${port}`, `localhost:${port}`];
  const { host: asked = "", origin } = request.headers;
  if (!own.includes(asked)) return [403, "The studio answers to its own address only."];
  if (origin !== undefined && !own.some((name) => origin === `http://${name}`)) {
    return [403, "The studio answers to its own pages only."];
  }
  const { method, headers } = request;
  const hasBody = Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"];
  // The limit of an upload is zero bytes: models are read by the page itself.
  if (hasBody) return [413, "The studio takes no uploads."];
  return method === "GET" || method === "HEAD" ? null : [405, "Only GET and HEAD are answered."];
}

/** The path below the token's folder, without query; null for another folder. */
function pathIn(url: string, token: string): string | null {
  const [path] = url.split("?");
  return path.startsWith(`/${token}/`) ? path.slice(token.length + 2) : null;
}

/** Answers with a sentence and closes the connection, so that no body of a refused request is read. */
function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8", Connection: "close" });
  response.end(`${text}\n`);
}

/**
 * The files of the built page by their addresses. Requests are looked up in this list, so no path can
 * leave the folder.
 */
function listed(folder: string): Map<string, string> {
  let names: string[];
  try {
    names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  } catch (cause) {
    throw fail(errors.noStudio(folder), cause);
  }
  const files = names.filter((name) => statSync(join(folder, name)).isFile());
  if (!files.includes("index.html")) throw fail(errors.noStudio(folder));
  return new Map(files.map((name) => [encoded(name), join(folder, name)]));
}

/** A relative path as it stands in an address. */
const encoded = (path: string): string => path.split(/[/\\]/).map(encodeURIComponent).join("/");

/** The engine's file in its own package; null for any other path. */
function enginePath(path: string): string | null {
  const name = path.replace(/^assets\//, "");
  if (!engine.test(name)) return null;
  try {
    return createRequire(import.meta.url).resolve(`onnxruntime-web/${name}`);
  } catch {
    return null;
  }
}

/**
 * The page, with the names of the files that it opens with in a <meta> element, which also tells it
 * that this server serves it.
 */
function withFiles(html: string, files: readonly ServedFile[]): string {
  const names = JSON.stringify(files.map(({ name }) => name));
  const escaped = names.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
  return html.replace("</head>", () => `<meta name="tersor-files" content="${escaped}"></head>`);
}

/** Headers that keep the page to this server: no other origin, no frames around it, no referrer. */
const headersFor = (scriptHashes: readonly string[]): Record<string, string> => ({
  "Content-Security-Policy": [
    "default-src 'self'",
    `script-src ${["'self'", "'wasm-unsafe-eval'", ...scriptHashes.map((hash) => `'${hash}'`)].join(" ")}`,
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "X-Content-Type-Options": "nosniff",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-store",
});

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(fail(errors.cannotListen(`${host}:${port}`, cause.message), cause)),
    );
    server.listen(port, host, () => resolve());
  });
}
