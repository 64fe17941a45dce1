/** @file The rows of a survey or a search as they come: a plot and a table; a row's recipe is loaded. */
import { familyClass, familyTitles, format } from "tersor";
import { compress, go, loadRecipe, type Survey, steps } from "../state.ts";
import { inPage } from "./in-page.ts";
import { Scatter } from "./scatter.tsx";
import { Scroll } from "./scroll.tsx";
import { speedText } from "./speed-text.ts";

/** Loads a row's recipe into the cards. */
export async function pick(recipe: string): Promise<void> {
  if (recipe === "original") return;
  if (!(await loadRecipe(recipe))) return;
  go("compress");
  // Simplifying alone has no step, whose change would start it.
  if (steps.value.length === 0) void compress();
}

export function Rows({ name, found }: { readonly name: string; readonly found: Survey }) {
  const { rows, pareto, left, standing } = found;
  const best = standing?.best ?? null;
  return (
    <>
      {rows.length > 0 && (
        <>
          <Scatter rows={rows} pareto={pareto} best={best} onPick={(recipe) => void pick(recipe)} />
          <Table name={name} found={found} />
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
    </>
  );
}

function Table({ name, found }: { readonly name: string; readonly found: Survey }) {
  const { rows, pareto, standing } = found;
  const [first, ...others] = rows;
  const sorted = [...others].sort((a, b) => a.result.bytes.raw - b.result.bytes.raw);
  const isJudged = rows.some(({ loss }) => loss !== null);
  return (
    <Scroll name={name}>
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
            <tr key={result.recipe} class={result.recipe === standing?.best ? "chosen" : ""}>
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
                {result.recipe === standing?.best && <small> best</small>}
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
