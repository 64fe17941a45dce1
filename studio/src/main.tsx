/** @file Starts the page: styles, the worker's list of methods, the model that the server offers. */
import { render } from "preact";
import { colorStyle, plotStyle } from "tersor";
import { App } from "./app.tsx";
import { loadAbout, open } from "./state.ts";
import "./style.css";

const style = document.createElement("style");
style.textContent = `${colorStyle}${plotStyle}`;
document.head.prepend(style);
render(<App />, document.getElementById("app") as HTMLElement);

const served = document.querySelector<HTMLMetaElement>('meta[name="tersor-files"]');

/** A static host's page opens offline later; that of `tersor studio` has its own server. */
async function keepOffline(): Promise<void> {
  if (served) return;
  // Without it (private windows, plain http) the page only needs the network.
  await navigator.serviceWorker?.register("./service-worker.js").catch(() => {});
}

/** The files that `tersor studio model.onnx` serves: the model, then its external data. */
async function openServed(): Promise<void> {
  const names = JSON.parse(served?.content ?? "[]") as string[];
  if (names.length === 0) return;
  const files = await Promise.all(
    names.map(async (name) => {
      const path = name.split("/").map(encodeURIComponent).join("/");
      const response = await fetch(`./files/${path}`);
      return [name, new Uint8Array(await response.arrayBuffer())] as const;
    }),
  );
  await open(new Map(files), names[0]);
}

await loadAbout();
await openServed();
await keepOffline();
