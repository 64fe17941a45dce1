/** @file The model's layers: where bytes, work and time sit. */

import { format, type Inspection, type Layer } from "tersor";
import { inPage } from "../parts/in-page.ts";
import { Scroll } from "../parts/scroll.tsx";
import { SpreadPlot } from "../parts/spread-plot.tsx";
import { nameOf, Treemap } from "../parts/treemap.tsx";
import { inspection, spread, warnings, work } from "../state.ts";

export function OverviewPage() {
  const found = inspection.value;
  if (!found) return null;
  const { totals, layers, model: info } = found;
  return (
    <section>
      <dl class="figures">
        <Figure name="file" value={format.bytes(info.bytes)} />
        <Figure name="parameters" value={format.quantity(info.params)} />
        <Figure name="multiply-accumulates" value={format.quantity(info.macs)} />
        <Figure
          name={timeName(totals.ms)}
          value={totals.ms === null ? "-" : `${format.milliseconds(totals.ms)} ms`}
        />
        <Figure name="operator set" value={String(info.opset)} />
      </dl>
      {warnings.value.length > 0 && (
        <ul class="hints warnings">
          {warnings.value.map(inPage).map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      <ul class="hints">
        {hintsOf(found).map((hint) => (
          <li key={hint}>{hint}</li>
        ))}
      </ul>
      {layers.some(({ bytes, macs }) => bytes > 0 || macs) && (
        <>
          <Treemap layers={layers} />
          {spread.value ? (
            <SpreadPlot found={spread.value} />
          ) : (
            <p class="dim">Choose a layer to see how its weights are spread.</p>
          )}
        </>
      )}
      <h2>Layers</h2>
      <LayerTable layers={layers} />
      <h2>Inputs and outputs</h2>
      <ul class="ports">
        {[...info.inputs, ...info.outputs].map(({ name, dtype, shape }, i) => (
          <li key={`${i} ${name}`}>
            <span class="dim">{i < info.inputs.length ? "input" : "output"}</span>{" "}
            <code>{name}</code> {dtype} {format.shape(shape)}
          </li>
        ))}
      </ul>
    </section>
  );
}

function timeName(ms: number | null): string {
  if (ms !== null) return "a run in this browser";
  return work.value === "inspecting" ? "being timed" : "not timed";
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function LayerTable({ layers }: { layers: readonly Layer[] }) {
  const isTimed = layers.some(({ ms }) => ms !== null);
  return (
    <Scroll name="Layers">
      <table>
        <thead>
          <tr>
            <th scope="col">layer</th>
            <th scope="col" class="wide">
              operator
            </th>
            <th scope="col" class="wide">
              weight
            </th>
            <th scope="col" class="right">
              parameters
            </th>
            <th scope="col" class="right">
              bytes
            </th>
            <th scope="col" class="right">
              MACs
            </th>
            {isTimed && (
              <th scope="col" class="right">
                ms
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {layers.map((layer, i) => (
            <tr key={`${i} ${layer.name}`}>
              <td class="name">{nameOf(layer)}</td>
              <td class="wide">{layer.op}</td>
              <td class="wide">{layer.shape.length > 0 ? format.shape(layer.shape) : ""}</td>
              <td class="right">{format.count(layer.params)}</td>
              <Barred text={format.bytes(layer.bytes)} share={layer.share.bytes} />
              <Barred text={format.quantity(layer.macs)} share={layer.share.macs} />
              {isTimed && <Barred text={format.milliseconds(layer.ms)} share={layer.share.ms} />}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** A number above a bar of its share. */
function Barred({ text, share }: { text: string; share: number | null }) {
  return (
    <td class="right barred">
      {text}
      <span style={{ width: `${100 * (share ?? 0)}%` }} />
    </td>
  );
}

/** What the figures say, in sentences. */
function hintsOf({ layers, totals }: Inspection): string[] {
  const hints: string[] = [];
  const most = (share: (layer: Layer) => number | null) =>
    [...layers].sort((a, b) => (share(b) ?? 0) - (share(a) ?? 0))[0];
  const heavy = most(({ share }) => share.bytes);
  const busy = most(({ share }) => share.macs);
  if (heavy && heavy.share.bytes > 0.2) {
    hints.push(
      `${nameOf(heavy)} holds ${format.percent(heavy.share.bytes, 0)} of the bytes: what makes this layer smaller makes the file smaller.`,
    );
  }
  if (busy?.share.macs && busy.share.macs > 0.2) {
    const same = busy === heavy ? "It also does" : `${nameOf(busy)} does`;
    hints.push(
      `${same} ${format.percent(busy.share.macs, 0)} of the multiply-accumulates: fewer channels, thinner factors or integer kernels save time there.`,
    );
  }
  if (totals.ms !== null) {
    hints.push("Times are of the WebAssembly engine on one thread; other runtimes differ.");
  }
  return hints;
}
