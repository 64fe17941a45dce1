/** @file Many recipes: a survey of every family, or a search for a target; rows as they come. */
import { useState } from "preact/hooks";
import { DataPanel } from "../parts/data-panel.tsx";
import { Rows } from "../parts/rows.tsx";
import { SearchForm } from "../parts/search-form.tsx";
import { StandingNote } from "../parts/standing-note.tsx";
import { runSurvey } from "../run-trials.ts";
import { data, search, survey, trying, work } from "../state.ts";

const kinds = { survey: "Try every family", search: "Search for a target" } as const;

export function SurveyPage() {
  const isSearch = trying.value === "search";
  const found = isSearch ? search.value : survey.value;
  return (
    <section class={isSearch ? "two" : ""}>
      <div>
        <p class="row">
          {(Object.keys(kinds) as (keyof typeof kinds)[]).map((kind) => (
            <label key={kind}>
              <input
                type="radio"
                name="trying"
                checked={trying.value === kind}
                onChange={() => {
                  trying.value = kind;
                }}
              />{" "}
              {kinds[kind]}
            </label>
          ))}
        </p>
        {isSearch ? <SearchForm /> : <SurveyForm />}
        <DataPanel />
      </div>
      <div>
        {isSearch && <StandingNote />}
        {found && <Rows name={`Rows of the ${trying.value}`} found={found} />}
      </div>
    </section>
  );
}

function SurveyForm() {
  const [minutes, setMinutes] = useState(2);
  const [trains, setTrains] = useState(false);
  return (
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
  );
}
