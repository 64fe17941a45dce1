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

/** The files that `tersor studio model.onnx` serves: the model, then its external data. */
async function openServed(): Promise<void> {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="tersor-files"]');
  if (!meta) return;
  const names = JSON.parse(meta.content) as string[];
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
