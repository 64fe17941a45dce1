/** @file The candidate beside the original: figures, downloads, the same run as text, notes. */

import { useState } from "preact/hooks";
import { format, type Result } from "tersor";
import { call } from "../engine.ts";
import type { Candidate } from "../protocol.ts";
import { compress, gpu, isFresh, type Made, model, show, work } from "../state.ts";
import { commandLine, productName, type Run, typeScript } from "./as-text.ts";
import { Curve } from "./curve.tsx";
import { download } from "./download.ts";
import { GpuNote } from "./gpu-note.tsx";
import { inPage } from "./in-page.ts";
import { Scroll } from "./scroll.tsx";
import { speedText } from "./speed-text.ts";

/** The original at the left, the candidate at the right, and what changed. */
export function Comparison({ found }: { found: Made }) {
  const before = found.baseline.result;
  const after = found.row.result;
  const isStale = !isFresh.value;
  return (
    <div class={isStale ? "stale" : ""} data-fresh={isFresh.value}>
      {isStale && <Stale />}
      <p class="recipe">
        <code>{found.recipe || "simplify"}</code>
      </p>
      <Scroll name="The original and the candidate">
        <table class="compare">
          <thead>
            <tr>
              <td />
              <th scope="col" class="right">
                original
              </th>
              <th scope="col" class="right">
                candidate
              </th>
              <th scope="col" class="right">
                change
              </th>
            </tr>
          </thead>
          <tbody>
            <Size name="ONNX file" of={({ bytes }) => bytes.raw} before={before} after={after} />
            <Size name="with gzip" of={({ bytes }) => bytes.gzip} before={before} after={after} />
            <Size
              name=".tersor file"
              of={({ bytes }) => bytes.packed}
              before={before}
              after={after}
            />
            <Line
              name="parameters"
              cells={[format.quantity(before.params), format.quantity(after.params)]}
              change={changeOf(before.params, after.params)}
            />
            <Line
              name="MACs"
              cells={[format.quantity(before.macs), format.quantity(after.macs)]}
              change={changeOf(before.macs, after.macs)}
            />
            <Line
              name="a run here"
              cells={[timeOf(before), timeOf(after)]}
              change={speedText(after)}
            />
            {found.row.score !== null && after.metric?.against !== "original" && (
              <Line
                name={after.metric?.name ?? "quality"}
                cells={[found.baseline.score ?? "-", found.row.score]}
                change={found.row.loss?.text ?? "-"}
              />
            )}
            <Fidelity of={found.fidelity} />
          </tbody>
        </table>
      </Scroll>
      {gpu.value && <GpuNote found={gpu.value} />}
      <Actions found={found} />
      <Notes found={found} />
    </div>
  );
}

/** What goes on while a recipe may wait. */
const trials = { surveying: "survey", searching: "search" } as const;

function Stale() {
  return (
    <p class="notice">
      {work.value === "surveying" || work.value === "searching" ? (
        <>
          These figures are of the recipe below. The {trials[work.value]} is running:{" "}
          <button type="button" onClick={() => void compress()}>
            stop it and compress
          </button>
        </>
      ) : (
        "These figures are of the recipe below, not of the cards."
      )}
    </p>
  );
}

const timeOf = ({ latency }: Result): string =>
  latency ? `${format.milliseconds(latency.median)} ms` : "-";

/** How many times smaller. */
function changeOf(before: number | null, after: number | null): string {
  if (before === null || after === null || after === 0) return "-";
  if (Math.abs(after / before - 1) < 0.005) return "same";
  return after < before
    ? `${format.ratio(before / after)} less`
    : `${format.ratio(after / before)} more`;
}

function Size(props: {
  name: string;
  of(result: Result): number | null;
  before: Result;
  after: Result;
}) {
  const { name, of, before, after } = props;
  const [old, now] = [of(before), of(after)];
  if (old === null && now === null) return null;
  return (
    <Line
      name={name}
      cells={[format.bytes(old), format.bytes(now)]}
      change={changeOf(old, now)}
      share={old && now ? now / old : null}
    />
  );
}

function Line(props: {
  name: string;
  cells: readonly [string, string];
  change: string;
  share?: number | null;
}) {
  const { name, cells, change, share } = props;
  return (
    <tr>
      <th scope="row">{name}</th>
      <td class="right">{cells[0]}</td>
      <td class="right barred">
        {cells[1]}
        {share != null && <span style={{ width: `${Math.min(100, 100 * share)}%` }} />}
      </td>
      <td class="right">{change}</td>
    </tr>
  );
}

function Fidelity({ of }: { of: Candidate["fidelity"] }) {
  if (!of) return null;
  const { error, flips, n, on } = of;
  const changed = flips === null ? "" : `${format.fixed(flips, 1)} % flip`;
  return (
    <tr data-row="fidelity">
      <th scope="row">
        output error <small>{`${format.plural(n, "record")} of ${on}`}</small>
      </th>
      <td class="right">0 %</td>
      <td class="right">{format.precise(error)} %</td>
      <td class="right">{changed}</td>
    </tr>
  );
}

function Actions({ found }: { found: Made }) {
  const [said, say] = useState("");
  const { path } = model.value ?? { path: "model.onnx" };
  const own: Run = { path, ...found, ...found.settings };
  const copy = (what: string, text: string) => {
    navigator.clipboard.writeText(text).then(
      () => say(`The ${what} is in the clipboard.`),
      () => say(text),
    );
  };
  const save = (ending: "onnx" | "tersor") => {
    const bytes = call(ending === "onnx" ? "onnx" : "packed", undefined);
    const name = productName(path, ending);
    bytes
      .then((found) => download(name, found as BlobPart, "application/octet-stream"))
      .catch(show);
  };
  const { raw, packed } = found.row.result.bytes;
  return (
    <>
      <p class="row actions">
        <button type="button" class="primary" onClick={() => save("onnx")}>
          Download .onnx <small>{format.bytes(raw)}</small>
        </button>
        <button type="button" onClick={() => save("tersor")}>
          Download .tersor <small>{format.bytes(packed)}</small>
        </button>
        <button type="button" onClick={() => copy("command", commandLine(own))}>
          Copy the command
        </button>
        <button type="button" onClick={() => copy("program", typeScript(own))}>
          Copy as TypeScript
        </button>
      </p>
      <p class="dim said" role="status">
        {said}
      </p>
      <pre class="command">{commandLine(own)}</pre>
    </>
  );
}

/** What was skipped, and what the user should know, in sentences. */
function Notes({ found }: { found: Made }) {
  const { skipped, warnings } = found.row.result;
  const lines = [...new Set([...warnings, ...found.notes].map(inPage))];
  return (
    <>
      {lines.length > 0 && (
        <ul class="hints">
          {lines.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      {skipped.length > 0 && (
        <details>
          <summary>{format.plural(skipped.length, "layer")} left as before, and why</summary>
          <ul class="hints">
            {skipped.map(({ node, method, reason }, i) => (
              <li key={`${i} ${node}`}>
                <code>{node}</code> ({method}): {reason}
              </li>
            ))}
          </ul>
        </details>
      )}
      {found.curves.map(({ step, points }, i) => (
        <Curve key={`${i} ${step}`} step={step} points={points} />
      ))}
    </>
  );
}
