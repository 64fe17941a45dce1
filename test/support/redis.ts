/** @file A Redis or Valkey server of its own for a test; null where none is installed. */
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";

/** The server's program, where one is installed. */
export const redisProgram: string | null =
  ["redis-server", "valkey-server"].find(
    (name) => spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0,
  ) ?? null;

export interface TestServer {
  readonly url: string;
  stop(): void;
}

/** Starts a server that keeps everything in memory, and waits until it listens. */
export async function startRedis(program: string): Promise<TestServer> {
  const port = await freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  await new Promise<void>((resolve, reject) => {
    child.on("exit", () => reject(new Error(`${program} ended`)));
    child.stdout.on("data", (text: Buffer) => {
      if (/ready to accept connections/i.test(String(text))) resolve();
    });
  });
  return { url: `redis://127.0.0.1:${port}`, stop: () => child.kill("SIGKILL") };
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
