/** @file Which records judged and which calibrated or trained, in words. */
import type { Records } from "../measure/measurement.ts";
import { count, plural } from "./format.ts";

/**
 * "judged on 800 records, 200 held for calibration"; null where no records judged, and where that
 * is not known.
 */
export function recordsText(records: Records | null | undefined): string | null {
  if (!records || records.judged === null) return null;
  const { judged, calibration, training, from } = records;
  const trains = training !== null;
  const others = training ?? calibration ?? 0;
  const judging = `judged on ${plural(judged, "record")}`;
  switch (from) {
    case "held":
      return `${judging}, ${count(others)} held for ${trains ? "training and " : ""}calibration`;
    case "apart":
      return `${judging}, ${trains ? "trained" : "calibrated"} on ${plural(others, "other")}`;
    case "same":
      return `${trains ? "trained" : "calibrated"} and judged on the same records`;
    default:
      return judging;
  }
}
