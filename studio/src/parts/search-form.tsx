/** @file What a search is told: a field for each option that the library declares. */
import { familyClass, format, type OptionInfo } from "tersor";
import { runSearch } from "../run-trials.ts";
import { about, aim, data, work } from "../state.ts";
import { OptionField } from "./option-field.tsx";

const set = (name: string, value: unknown): void => {
  const { [name]: _, ...others } = aim.value;
  aim.value = value === undefined ? others : { ...others, [name]: value };
};

export function SearchForm() {
  const all = about.value?.searchOptions ?? [];
  // Those with texts to begin with come first, the others on demand.
  const first = all.filter(({ search }) => search.length > 0);
  const rest = all.filter(({ search }) => search.length === 0);
  const field = (info: OptionInfo) => (
    <OptionField
      key={info.name}
      info={info}
      value={aim.value[info.name]}
      id="search"
      onChange={(value) => set(info.name, value)}
    />
  );
  return (
    <form
      class={`search-form ${familyClass("control")}`}
      onSubmit={(event) => {
        event.preventDefault();
        void runSearch();
      }}
    >
      <div class="fields">{first.map(field)}</div>
      <details>
        <summary>{format.plural(rest.length, "more option")}</summary>
        <div class="fields">{rest.map(field)}</div>
      </details>
      <p class="row actions">
        <button type="submit" class="primary" disabled={!data.value || work.value === "searching"}>
          Search
        </button>
        {!data.value && <span class="dim">A search needs data to judge on.</span>}
      </p>
    </form>
  );
}
