/** @file The records to judge and calibrate on: a file, and how its records are read. */
import { familyClass } from "tersor";
import { about, addData, data, dims, model, readAs, seed } from "../state.ts";
import { OptionField } from "./option-field.tsx";

export function DataPanel() {
  const chosen = data.value;
  return (
    <div class={`data ${familyClass("control")}`}>
      <p class="row">
        <label class="button">
          {chosen ? "Other data" : "Choose data"}
          <input
            type="file"
            accept=".zip,.npz,.csv,.jsonl,.wav,.txt"
            onChange={(event) => {
              const [file] = event.currentTarget.files ?? [];
              if (file) void addData(file);
            }}
          />
        </label>
        {chosen ? (
          <>
            <code>{chosen.spec}</code>
            <button
              type="button"
              onClick={() => {
                data.value = null;
              }}
            >
              Remove
            </button>
          </>
        ) : (
          <span class="dim">
            zip of images (a folder a class), npz, csv, jsonl; without data outputs are compared on
            random inputs
          </span>
        )}
      </p>
      {!chosen && <OpenAxes />}
      <details>
        <summary>How records are read, seed</summary>
        <div class="fields">
          <div class="field">
            <label for="seed">seed</label>
            <input
              id="seed"
              type="text"
              inputMode="numeric"
              placeholder="default"
              value={seed.value ?? ""}
              onChange={(event) => {
                const { value } = event.currentTarget;
                seed.value = /^\d{1,9}$/.test(value) ? Number(value) : undefined;
              }}
            />
            <p class="doc">Decides everything random.</p>
          </div>
          {chosen &&
            about.value?.dataOptions.map((info) => (
              <OptionField
                key={info.name}
                info={info}
                id="data"
                value={chosen.typed[info.name]}
                onChange={(value) => void setOption(info.name, value)}
              />
            ))}
        </div>
      </details>
    </div>
  );
}

/** Sizes of the axes that the model leaves open: without data the library would guess them. */
function OpenAxes() {
  const axes = model.value?.openAxes ?? [];
  if (axes.length === 0) return null;
  return (
    <fieldset class="axes">
      <legend>Sizes of open axes</legend>
      {axes.map((axis, i) => (
        <label key={axis}>
          <code>{axis}</code>
          <input
            id={`axis-${i}`}
            type="text"
            inputMode="numeric"
            placeholder="guessed"
            value={dims.value[axis] ?? ""}
            onChange={(event) => {
              const { [axis]: _, ...others } = dims.value;
              const size = Number(event.currentTarget.value);
              dims.value =
                Number.isInteger(size) && size > 0 ? { ...others, [axis]: size } : others;
            }}
          />
        </label>
      ))}
    </fieldset>
  );
}

async function setOption(name: string, value: unknown): Promise<void> {
  const chosen = data.value;
  if (!chosen) return;
  const { [name]: _, ...others } = chosen.typed;
  await readAs(chosen.spec, value === undefined ? others : { ...others, [name]: value });
}
