/** @file Which dtype a device should load by itself: the fastest that stays close to the float file. */
import type { Choice } from "./config.ts";
import type { DtypeName } from "./dtypes.ts";
import { type Device, devices, type Variant } from "./variants.ts";

/** Least SQNR of a file that is chosen, dB: the error is 10 % of the output (root mean squares). */
const CLOSE = 20;
/** Most that it may lose by the metric, in its points. */
const DROP = 1;

/** Speed-ups within this factor of the best are no difference: the smaller file is taken. */
const SAME = 0.93;

/** A variant of a model, with the bytes of its file. */
export interface Candidate extends Pick<Variant, "dtype" | "sqnr" | "metric" | "speed"> {
  readonly model: string;
  readonly bytes: number;
}

/** For each device that was timed: the dtype of each model. */
export function chooseDtypes(files: readonly Candidate[]): Choice {
  const models = [...new Set(files.map(({ model }) => model))];
  const choice: Record<string, Record<string, DtypeName>> = {};
  for (const device of Object.keys(devices) as Device[]) {
    const found = models.map((model) =>
      best(
        files.filter((file) => file.model === model),
        device,
      ),
    );
    if (found.some((dtype) => dtype === null)) continue;
    choice[device] = Object.fromEntries(
      models.map((model, i) => [model, found[i] as DtypeName] as const),
    );
  }
  return choice;
}

function best(files: readonly Candidate[], device: Device): DtypeName | null {
  const fast = files.flatMap((file) => {
    const speed = file.speed[device];
    const isTimed = speed !== null && typeof speed !== "string";
    return isTimed && isClose(file) ? [{ ...file, ratio: speed.ratio ?? 1 }] : [];
  });
  const most = Math.max(...fast.map(({ ratio }) => ratio));
  const [first] = fast
    .filter(({ ratio }) => ratio >= SAME * most)
    .sort((a, b) => a.bytes - b.bytes);
  return first?.dtype ?? null;
}

const isClose = ({ dtype, sqnr, metric }: Candidate): boolean =>
  dtype === "fp32" || (metric?.drop != null ? metric.drop <= DROP : sqnr !== null && sqnr >= CLOSE);
