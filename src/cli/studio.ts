/** @file tersor studio: serves the page in which a model is compressed, until Ctrl-C. */

import { serveStudio } from "../node/studio-server.ts";
import { load } from "../node.ts";
import type { Loaded } from "../recipe/load.ts";
import { scriptHash } from "../report/html-script.ts";
import { jsonText } from "../report/json.ts";
import type { Command } from "./command.ts";
import { whole } from "./flags.ts";
import { modelName } from "./paths.ts";

interface StudioFlags {
  readonly port?: number;
}

export const studioCommand: Command<StudioFlags> = {
  name: "studio",
  takes: "[model]",
  summary: "Serves a page on this machine in which a model is compressed and downloaded.",
  flags: [
    { flags: "--port <n>", doc: "Port to listen on (default: a free one).", parse: whole(1) },
  ],
  examples: ["tersor studio", "tersor studio model.onnx"],
  async run(shell, [path], { port }) {
    const model = path === undefined ? null : await load(path, shell.settings);
    const files = model && path !== undefined ? filesOf(path, model) : [];
    const studio = await serveStudio({ files, port, scriptHashes: [scriptHash] });
    const { url } = studio;
    shell.print(shell.json ? jsonText({ command: "studio", model: path ?? null, url }) : url);
    shell.note("Open this address in a browser of this machine. Ctrl-C ends the studio.");
    await aborted(shell.settings.signal ?? null);
    await studio.close();
    return 0;
  },
};

/** The model's file and its external data, named from the model's folder. */
function filesOf(path: string, { source }: Loaded) {
  const name = modelName(path).replace(/^.*[/\\]/s, "");
  const external = (source.external ?? []).map(({ path, data }) => ({ name: path, bytes: data }));
  return [{ name, bytes: source.bytes }, ...external];
}

/** Resolves once the user ends the command. */
const aborted = (signal: AbortSignal | null): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) resolve();
    signal?.addEventListener("abort", () => resolve(), { once: true });
  });
