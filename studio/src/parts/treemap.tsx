/** @file The model as a treemap: a box for each layer, as large as its share of what was chosen. */
import { useSignal } from "@preact/signals";
import { format, type Layer } from "tersor";
import { showLayer, spread } from "../state.ts";
import { squarify } from "./squarify.ts";

/** What boxes can be as large as. */
const measures = {
  bytes: { title: "bytes", of: (layer: Layer) => layer.bytes, text: format.bytes },
  params: { title: "parameters", of: (layer: Layer) => layer.params, text: format.quantity },
  macs: { title: "MACs", of: (layer: Layer) => layer.macs, text: format.quantity },
  ms: {
    title: "time",
    of: (layer: Layer) => layer.ms,
    text: (ms: number | null) => `${format.milliseconds(ms)} ms`,
  },
} as const;
type Measure = keyof typeof measures;

const whole = { x: 0, y: 0, width: 1000, height: 300 };

export const nameOf = ({ name, op }: Layer): string => (name === "other" ? `${op} (all)` : name);

export function Treemap({ layers }: { layers: readonly Layer[] }) {
  const chosen = useSignal<Measure>("bytes");
  const known = (Object.keys(measures) as Measure[]).filter((one) =>
    layers.some((layer) => (measures[one].of(layer) ?? 0) > 0),
  );
  const { title, of, text } =
    measures[known.includes(chosen.value) ? chosen.value : known[0]] ?? measures.bytes;
  const values = layers.map((layer) => of(layer) ?? 0);
  const sum = values.reduce((all, value) => all + value, 0);
  const boxes = squarify(values, whole);
  return (
    <figure class="treemap">
      <figcaption class="row">
        <span>Layers by</span>
        {known.map((one) => (
          <button
            type="button"
            key={one}
            aria-pressed={measures[one].title === title}
            onClick={() => {
              chosen.value = one;
            }}
          >
            {measures[one].title}
          </button>
        ))}
      </figcaption>
      <ul class="boxes">
        {layers.map((layer, i) => {
          const { x, y, width, height } = boxes[i];
          if (width * height < 12) return null;
          const share = format.percent(values[i] / sum, values[i] / sum < 0.1 ? 1 : 0);
          // It begins with what is seen, so that speech input finds it.
          const label = `${nameOf(layer)} ${share}: ${text(values[i])} of ${title}`.replace(
            " of time",
            "",
          );
          const isShown = spread.value?.layer === layer.name;
          return (
            <li
              key={`${i} ${layer.name}`}
              style={{
                left: `${x / 10}%`,
                top: `${y / 3}%`,
                width: `${width / 10}%`,
                height: `${height / 3}%`,
              }}
            >
              <button
                type="button"
                title={label}
                aria-label={label}
                aria-pressed={isShown}
                disabled={layer.shape.length === 0}
                onClick={() => void showLayer(layer.name)}
              >
                <b>{nameOf(layer)}</b> <span>{share}</span>
              </button>
            </li>
          );
        })}
      </ul>
    </figure>
  );
}
