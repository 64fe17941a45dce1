/** @file Choosing a model: a file, a folder with external data, or a benchmark network. */
import { useState } from "preact/hooks";
import { droppedFiles, isModelName, readFiles } from "../parts/drop.ts";
import { about, open, show } from "../state.ts";

/** Opens the model among these files. */
async function openFiles(reading: Promise<Map<string, Uint8Array>>): Promise<void> {
  try {
    const files = await reading;
    const path = [...files.keys()].find(isModelName) ?? [...files.keys()][0];
    if (path !== undefined) await open(files, path);
  } catch (error) {
    show(error);
  }
}

export function ModelPage() {
  const [isOver, setOver] = useState(false);
  const pick = (event: Event) => {
    const { files } = event.currentTarget as HTMLInputElement;
    if (files?.length) void openFiles(readFiles(files));
  };
  return (
    <section class="model-page">
      <h1>Make a network smaller</h1>
      <p class="lead">
        Nothing leaves this computer: the model is compressed, run and timed in this browser.
      </p>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the inputs inside do the same */}
      <div
        class={`drop ${isOver ? "over" : ""}`}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          if (event.dataTransfer) void openFiles(droppedFiles(event.dataTransfer));
        }}
      >
        <p>Drop a .onnx or .tersor file here, with its external data if there is any.</p>
        <p class="row">
          <label class="button primary">
            Choose a file
            <input type="file" accept=".onnx,.tersor,.data,.bin" multiple onChange={pick} />
          </label>
          <label class="button">
            Choose a folder
            <input
              type="file"
              ref={(input) => input?.setAttribute("webkitdirectory", "")}
              onChange={pick}
            />
          </label>
        </p>
      </div>
      <h2>Or an untrained benchmark network</h2>
      <ul class="nets">
        {about.value?.nets.map(({ name, title, cite }) => (
          <li key={name}>
            <button type="button" onClick={() => void open(new Map(), `net:${name}`)}>
              <b>{title}</b>
              <span>{cite}</span>
            </button>
          </li>
        )) ?? <li class="dim">Loading the library ...</li>}
      </ul>
    </section>
  );
}
