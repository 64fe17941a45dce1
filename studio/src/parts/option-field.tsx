/** @file One option as a labelled control, made from its declaration. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { type OptionInfo, rangeText } from "tersor";
import { inPage } from "./in-page.ts";

export interface FieldProps {
  readonly info: OptionInfo;
  /** Undefined: the default. */
  readonly value: unknown;
  /** Beginning of the control's id, which tells the fields of several cards apart. */
  readonly id: string;
  onChange(value: unknown): void;
}

export function OptionField({ info, value, id, onChange }: FieldProps) {
  const field = `${id}-${info.name}`;
  const isChanged = value !== undefined;
  const doc = inPage(info.description);
  const range = info.type === "number" ? rangeText(info) : "";
  return (
    <div class={`field ${isChanged ? "changed" : ""}`}>
      <label for={field} title={doc}>
        {info.name}
        {range && <small>{range}</small>}
      </label>
      <Control info={info} value={value} id={field} onChange={onChange} />
      {info.type !== "boolean" && info.type !== "choice" && info.search.length > 1 && (
        <span class="tries">
          {info.search.map((one) => (
            <button
              type="button"
              key={String(one)}
              aria-label={`${info.name} ${one}`}
              aria-pressed={String(value ?? info.default) === String(one)}
              onClick={() => onChange(unlessDefault(info, one))}
            >
              {String(one)}
            </button>
          ))}
        </span>
      )}
      <p class="doc" id={`${field}-doc`}>
        {doc}
      </p>
    </div>
  );
}

/** Undefined for the default and for an empty field. */
function unlessDefault(info: OptionInfo, value: unknown): unknown {
  const isEmpty = value === "" || value === null || (value === false && info.default === null);
  return isEmpty || textOf(value) === textOf(info.default) ? undefined : value;
}

const textOf = (value: unknown): string =>
  Array.isArray(value) ? value.join("|") : value === null ? "" : String(value);

function Control({ info, value, id, onChange }: FieldProps) {
  const shown = value === undefined ? info.default : value;
  const give = (given: unknown) => onChange(unlessDefault(info, given));
  const about = { id, "aria-describedby": `${id}-doc` };
  switch (info.type) {
    case "boolean":
      return (
        <input
          {...about}
          type="checkbox"
          checked={shown === true || shown === "true"}
          onChange={(event) => give(event.currentTarget.checked)}
        />
      );
    case "choice":
      return (
        <select
          {...about}
          value={textOf(shown)}
          onChange={(event) => give(event.currentTarget.value)}
        >
          {info.default === null && <option value="">default</option>}
          {info.choices?.map((choice) => (
            <option key={choice} value={choice}>
              {choice}
            </option>
          ))}
        </select>
      );
    case "number":
      return (
        <TextInput
          {...about}
          inputMode="decimal"
          text={value === undefined ? "" : textOf(value)}
          placeholder={info.default === null ? "default" : textOf(info.default)}
          onText={(text) => give(numberOf(text))}
        />
      );
    default:
      return (
        <TextInput
          {...about}
          inputMode="text"
          text={value === undefined ? "" : textOf(value)}
          placeholder={textOf(info.default) || (info.type === "list" ? "all" : "default")}
          onText={(text) => give(text.trim())}
        />
      );
  }
}

/** A field whose text is given when it is left; what is half typed survives a drawing of the page. */
function TextInput(props: {
  readonly id: string;
  readonly "aria-describedby": string;
  readonly inputMode: "decimal" | "text";
  readonly text: string;
  readonly placeholder: string;
  onText(text: string): void;
}) {
  const { text, onText, ...others } = props;
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    if (field.current) field.current.value = text;
  }, [text]);
  return (
    <input
      {...others}
      ref={field}
      type="text"
      onChange={(event) => onText(event.currentTarget.value)}
    />
  );
}

/** A typed number; other text stays, so that the library says what is wrong with it. */
function numberOf(text: string): unknown {
  const trimmed = text.trim();
  return trimmed === "" || Number.isNaN(Number(trimmed)) ? trimmed : Number(trimmed);
}
