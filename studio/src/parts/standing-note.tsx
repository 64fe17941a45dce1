/** @file How the search stands: its best row, or the nearest misses; a click loads the recipe. */
import { search, work } from "../state.ts";
import { pick } from "./rows.tsx";

export function StandingNote() {
  const standing = search.value?.standing ?? null;
  const isMissed = standing !== null && standing.nearest.length > 0;
  return (
    <div class="standing">
      <p role="status" class={standing ? (isMissed ? "missed" : "met") : "dim"}>
        {standing?.says ?? waiting()}
      </p>
      {isMissed && (
        <ul>
          {standing.nearest.map(({ recipe, misses }) => (
            <li key={recipe}>
              <button type="button" class="link" onClick={() => void pick(recipe)}>
                {recipe}
              </button>
              <span class="dim">{misses}</span>
            </li>
          ))}
        </ul>
      )}
      {standing && (
        <>
          <p class="dim">{standing.line}</p>
          <p>
            <button type="button" onClick={() => void pick(standing.best)}>
              Load the best into Compress
            </button>
          </p>
        </>
      )}
      {search.value?.says.map((text) => (
        <p key={text} class="dim">
          {text}
        </p>
      ))}
    </div>
  );
}

const waiting = (): string =>
  work.value === "searching" ? "Working ..." : "Recipes show here as they are measured.";
