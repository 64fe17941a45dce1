/** @file The survey: rows as they come, and a plot; a row's recipe can be loaded. */

import { useState } from "preact/hooks";
import { familyClass, familyTitles, format } from "tersor";
import { DataPanel } from "../parts/data-panel.tsx";
import { inPage } from "../parts/in-page.ts";
import { Scatter } from "../parts/scatter.tsx";
import { Scroll } from "../parts/scroll.tsx";
import { speedText } from "../parts/speed-text.ts";
import { compress, data, go, loadRecipe, runSurvey, steps, survey, work } from "../state.ts";

/** Loads a row's recipe into the cards. */
async function pick(recipe: string): Promise<void> {
  if (recipe === "original") return;
  if (!(await loadRecipe(recipe))) return;
  go("compress");
  // Simplifying alone has no step, whose change would start it.
  if (steps.value.length === 0) void compress();
}

export function SurveyPage() {
  const [minutes, setMinutes] = useState(2);
  const [trains, setTrains] = useState(false);
  const { rows, pareto, left } = survey.value;
  return (
    <section>
      <form
        class="row survey-form"
        onSubmit={(event) => {
          event.preventDefault();
          void runSurvey(minutes * 60, trains);
        }}
      >
        <label>
          Minutes{" "}
          <input
            type="number"
            min={0.1}
            step="any"
            value={minutes}
            onInput={(event) => setMinutes(Number(event.currentTarget.value) || 1)}
          />
        </label>
        <label>
          <input
            type="checkbox"
            checked={trains}
            disabled={!data.value}
            onChange={(event) => setTrains(event.currentTarget.checked)}
          />{" "}
          also methods that train{!data.value && " (needs data)"}
        </label>
        <button type="submit" class="primary" disabled={work.value === "surveying"}>
          Try every family
        </button>
      </form>
      <DataPanel />
      {rows.length > 0 && (
        <>
          <Scatter rows={rows} pareto={pareto} onPick={(recipe) => void pick(recipe)} />
          <Rows />
        </>
      )}
      {left.length > 0 && (
        <details>
          <summary>{format.plural(left.length, "recipe")} not measured, and why</summary>
          <ul class="hints">
            {left.map(inPage).map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

function Rows() {
  const { rows, pareto } = survey.value;
  const [first, ...others] = rows;
  const sorted = [...others].sort((a, b) => a.result.bytes.raw - b.result.bytes.raw);
  const isJudged = rows.some(({ loss }) => loss !== null);
  return (
    <Scroll name="Rows of the survey">
      <table class="rows">
        <thead>
          <tr>
            <th scope="col">recipe</th>
            <th scope="col" class="right">
              bytes
            </th>
            <th scope="col" class="right">
              smaller
            </th>
            <th scope="col" class="right wide">
              ms
            </th>
            <th scope="col" class="right wide">
              speed
            </th>
            {isJudged && (
              <th scope="col" class="right loss">
                {rows.findLast(({ loss }) => loss)?.loss?.name}
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {[first, ...sorted].map(({ result, loss }, index) => (
            <tr key={result.recipe}>
              <td class="name">
                <span
                  class={`dot ${familyClass(result.family)}`}
                  title={familyTitles[result.family] ?? result.family}
                />
                {result === first.result ? (
                  result.recipe
                ) : (
                  <button type="button" class="link" onClick={() => void pick(result.recipe)}>
                    {result.recipe}
                  </button>
                )}
                {pareto.includes(result.recipe) && <b title="no other row beats it"> *</b>}
              </td>
              <td class="right">{format.bytes(result.bytes.raw)}</td>
              <td class="right">{format.ratio(result.alpha.bytes)}</td>
              <td class="right wide">{format.milliseconds(result.latency?.median)}</td>
              <td class="right wide">{index === 0 ? "" : speedText(result)}</td>
              {isJudged && <td class="right">{loss?.text ?? "-"}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
