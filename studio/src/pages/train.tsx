/** @file Training after the recipe: fine-tuning, or distillation into a smaller copy, with its curve. */
import { useSignal } from "@preact/signals";
import { familyClass, format, type OptionInfo } from "tersor";
import { Comparison } from "../parts/comparison.tsx";
import { LiveCurve } from "../parts/curve.tsx";
import { DataPanel } from "../parts/data-panel.tsx";
import { OptionField } from "../parts/option-field.tsx";
import type { StepData } from "../protocol.ts";
import {
  candidate,
  compress,
  data,
  finishTraining,
  methodsById,
  steps,
  training,
  work,
} from "../state.ts";

/** The steps that this page sets, and the options of each that come first. */
const kinds = {
  train: { title: "Fine-tune the model", first: ["steps", "rate", "batch", "loss"] },
  distil: {
    title: "Distil into a smaller copy",
    first: ["width", "depth", "steps", "rate", "batch"],
  },
} as const;
type Kind = keyof typeof kinds;
const isKind = (method: string): method is Kind => Object.hasOwn(kinds, method);

/** How many steps are taken at first: enough to see whether the loss falls. */
const usual = 50;

export function TrainPage() {
  const own = steps.value.at(-1);
  const draft = useSignal<StepData>(
    own && isKind(own.method) ? own : { method: "train", options: { steps: usual } },
  );
  const { method, options } = draft.value;
  const before = own && isKind(own.method) ? steps.value.slice(0, -1) : steps.value;
  const info = methodsById.value.get(method);
  const first: readonly string[] = isKind(method) ? kinds[method].first : [];
  const set = (name: string, value: unknown): void => {
    const { [name]: _, ...others } = options;
    draft.value = { method, options: value === undefined ? others : { ...others, [name]: value } };
  };
  const field = (option: OptionInfo) => (
    <OptionField
      key={`${method} ${option.name}`}
      info={option}
      value={options[option.name]}
      id="train"
      onChange={(value) => set(option.name, value)}
    />
  );
  const all = info?.options ?? [];
  const rest = all.filter(({ name }) => !first.includes(name));
  const isBusy = work.value === "compressing";
  const start = (): void => {
    steps.value = [...before, draft.value];
    void compress();
  };
  return (
    <section class="two">
      <div>
        <h2>Training</h2>
        <p class="row">
          {(Object.keys(kinds) as Kind[]).map((kind) => (
            <label key={kind}>
              <input
                type="radio"
                name="kind"
                checked={method === kind}
                onChange={() => {
                  draft.value = { method: kind, options: { steps: usual } };
                }}
              />{" "}
              {kinds[kind].title}
            </label>
          ))}
        </p>
        {info && (
          <div class={`card ${familyClass(info.family)}`}>
            <p class="summary">
              {info.summary}{" "}
              {before.length > 0
                ? `It follows the recipe's ${format.plural(before.length, "step")}: ${before.map((step) => step.method).join(", ")}.`
                : "The recipe has no other step."}
            </p>
            <div class="fields">
              {first.flatMap((name) => all.filter((option) => option.name === name)).map(field)}
            </div>
            <details>
              <summary>{format.plural(rest.length, "more option")}</summary>
              <div class="fields">{rest.map(field)}</div>
            </details>
          </div>
        )}
        <p class="row actions">
          <button type="button" class="primary" disabled={!data.value || isBusy} onClick={start}>
            Train
          </button>
          <button type="button" disabled={!isBusy || !training.value} onClick={finishTraining}>
            Stop, keep the best
          </button>
          {!data.value && <span class="dim">Training needs data.</span>}
        </p>
        <h2>Data</h2>
        <DataPanel />
      </div>
      <div class="result">
        <h2>Result</h2>
        {isBusy && <LiveCurve />}
        {candidate.value ? (
          <Comparison found={candidate.value} />
        ) : (
          <p class="dim">{isBusy ? "Working ..." : "The loss and the trained model show here."}</p>
        )}
      </div>
    </section>
  );
}
