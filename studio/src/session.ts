/** @file What the worker holds of the open model, and what its calls share. */
import type { Compression, createTersor, Event, Keeper, Loaded, Report } from "tersor";
import type { SettingsInput, Trial } from "./protocol.ts";

/** Seconds for which a candidate is timed: less than the command line takes, to answer sooner. */
export const timingSeconds = 1;

/** The open model and what was last made of it. */
export interface Session {
  readonly files: Map<string, Uint8Array>;
  readonly tersor: ReturnType<typeof createTersor>;
  readonly model: Loaded;
  /** Hold the measured original: on the data, and on random inputs. */
  readonly keeper: Keeper;
  readonly onRandom: Keeper;
  compression?: Compression;
  /** The compressed model as its file has it. */
  product?: Loaded;
  /** Of the compression. */
  report?: Report;
}

/** What a call is given besides its input. */
export interface Around {
  readonly signal: AbortSignal;
  readonly finish: AbortSignal;
  onEvent(event: Event): void;
  onTrial(trial: Trial): void;
}

/** Settings of the library from those of the page. With data the records decide the sizes. */
export const settingsOf = ({ data, seed, dims }: SettingsInput) => ({
  data: data && { spec: data.spec, options: data.options },
  seed,
  dims: data ? {} : dims,
});
