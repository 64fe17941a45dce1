/** @file The recipe as cards, one a step, each with the options that its method declares. */
import { familyClass, familyTitles, format, type MethodInfo } from "tersor";
import type { StepData } from "../protocol.ts";
import { about, loadRecipe, methodsById, model, steps } from "../state.ts";
import { OptionField } from "./option-field.tsx";

const replaceAt = (at: number, step: StepData): void => {
  steps.value = steps.value.map((old, i) => (i === at ? step : old));
};
const removeAt = (at: number): void => {
  steps.value = steps.value.filter((_, i) => i !== at);
};
const moveUp = (at: number): void => {
  const next = [...steps.value];
  next.splice(at - 1, 0, ...next.splice(at, 1));
  steps.value = next;
};

export function StepsEditor() {
  return (
    <div class="steps">
      <div class="presets row">
        <span class="dim">Start from</span>
        {model.value?.presets
          .filter((preset) => preset.steps.length > 0)
          .map(({ name, summary, steps: ready }) => (
            <button
              type="button"
              key={name}
              title={summary}
              onClick={() => {
                steps.value = ready;
              }}
            >
              {name}
            </button>
          ))}
      </div>
      <ol>
        {steps.value.map((step, i) => (
          <StepCard key={`${i} ${step.method}`} step={step} at={i} />
        ))}
      </ol>
      <AddStep />
      <RecipeText />
    </div>
  );
}

function StepCard({ step, at }: { step: StepData; at: number }) {
  const info = methodsById.value.get(step.method);
  if (!info) return null;
  const set = (name: string, value: unknown): void => {
    const { [name]: _, ...others } = step.options;
    const options = value === undefined ? others : { ...others, [name]: value };
    replaceAt(at, { method: step.method, options });
  };
  const field = (option: MethodInfo["options"][number]) => (
    <OptionField
      key={option.name}
      info={option}
      value={step.options[option.name]}
      id={`step-${at}`}
      onChange={(value) => set(option.name, value)}
    />
  );
  // Options that a search would vary come first, the others on demand.
  const first = info.options.filter(({ search }) => search.length > 0);
  const rest = info.options.filter(({ search }) => search.length === 0);
  const changed = rest.filter(({ name }) => step.options[name] !== undefined).length;
  return (
    <li class={`card ${familyClass(info.family)}`}>
      <header>
        <h3>
          <span class="number">{at + 1}</span> {step.method}
        </h3>
        {at > 0 && (
          <button type="button" aria-label={`Move step ${at + 1} up`} onClick={() => moveUp(at)}>
            Up
          </button>
        )}
        <button type="button" aria-label={`Remove step ${at + 1}`} onClick={() => removeAt(at)}>
          Remove
        </button>
      </header>
      <p class="summary">
        {info.summary} <cite>{info.cite}</cite>
      </p>
      {info.needs.length > 0 && <p class="needs">Needs data for {info.needs.join(" and ")}.</p>}
      <div class="fields">{first.map(field)}</div>
      {rest.length > 0 && (
        <details open={first.length === 0}>
          <summary>
            {format.plural(rest.length, first.length > 0 ? "more option" : "option")}
            {changed > 0 && `, ${changed} changed`}
          </summary>
          <div class="fields">{rest.map(field)}</div>
        </details>
      )}
    </li>
  );
}

function AddStep() {
  const methods = about.value?.methods ?? [];
  const families = [...new Set(methods.map(({ family }) => family))];
  return (
    <p class="add">
      <label for="add-step">Add a step</label>
      <select
        id="add-step"
        value=""
        onChange={(event) => {
          const { value } = event.currentTarget;
          if (value) steps.value = [...steps.value, { method: value, options: {} }];
          event.currentTarget.value = "";
        }}
      >
        <option value="">choose a method ...</option>
        {families.map((family) => (
          <optgroup key={family} label={familyTitles[family] ?? family}>
            {methods
              .filter((info) => info.family === family)
              .map(({ method, title, needs }) => (
                <option key={method} value={method}>
                  {method}: {title}
                  {needs.length > 0 ? ` (${needs.join(", ")})` : ""}
                </option>
              ))}
          </optgroup>
        ))}
      </select>
    </p>
  );
}

/** A recipe typed or pasted as the command line takes it. */
function RecipeText() {
  return (
    <form
      class="recipe-text"
      onSubmit={(event) => {
        event.preventDefault();
        const { value } = event.currentTarget.elements.namedItem("recipe") as HTMLInputElement;
        if (value.trim()) void loadRecipe(value);
      }}
    >
      <label for="recipe-text">Or a recipe as text</label>
      <input
        id="recipe-text"
        name="recipe"
        type="text"
        spellcheck={false}
        placeholder="prune-magnitude:sparsity=0.8 > share-weights:bits=4"
      />
      <button type="submit">Load</button>
    </form>
  );
}
