/**
 * @file Feed: how one input of a model is filled, where records do not hold it. One schema for the
 * flag `--input NAME=HOW`, options in code and the model's metadata.
 *
 *   how            as text         as a value             the input is
 *   data           NAME            "data"                 filled from the records
 *   a constant     sr=16000        16000                  this number in every element
 *   zeros, ones    cache=zeros     "zeros"                0 or 1 in every element
 *   mask           mask=mask       "mask"                 1 where the record has values, 0 where it is padded
 *   range          pos=range       "range"                0, 1, 2 ... along the last axis
 *   ids            ids=ids         "ids"                  seeded integers inside the table that they index
 *   axis           h=axis:1        { axis: 1 }            filled from the records, which lie along this axis
 *   feedback       h=feedback:hn   { feedback: "hn" }     zeros at first, then what output hn gave for the record before
 */
import { z } from "zod";
import { errors, fail } from "../errors.ts";
import type { Port } from "../runtime/runtime.ts";
import { describePorts, isInteger } from "./reader.ts";

const words = ["data", "zeros", "ones", "ids", "mask", "range"] as const;

/** How one input is filled. */
export const Feed = z.union([
  z.number(),
  z.enum(words),
  z.strictObject({ axis: z.int().min(0) }),
  z.strictObject({ feedback: z.string().min(1) }),
]);
export type Feed = z.output<typeof Feed>;

/** Feeds by the names of inputs. (A Map, because "constructor" may be a name.) */
export type Feeding = ReadonlyMap<string, Feed>;

/** What `--input` accepts, as text: a name that records fill, or names with how they are filled. */
const forms =
  "NAME, or NAME=HOW with a number, zeros, ones, mask, range, ids, axis:1 or feedback:OUTPUT";

/** One or several texts, or feeds by name. */
export const Inputs = z
  .union([z.string().min(1), z.array(z.string().min(1)), z.record(z.string().min(1), Feed)])
  .superRefine((value, context) => {
    if (typeof value === "object" && !Array.isArray(value)) return;
    for (const text of [value].flat()) {
      const wrong = partsOf(text).find((part) => feedOf(part) === null);
      if (wrong === undefined) continue;
      context.addIssue({ code: "custom", message: `"${wrong}" is none of: ${forms}` });
    }
  });
export type Inputs = z.output<typeof Inputs>;

/** Parts of a text that are split by commas; a bare name may hold one itself. */
const partsOf = (text: string): string[] =>
  text.includes("=") ? text.split(/,(?=[^,=]+=)/).map((part) => part.trim()) : [text];

/** The name and the feed of one part; null if it says none. */
function feedOf(part: string): readonly [string, Feed] | null {
  const at = part.indexOf("=");
  if (at < 0) return [part, "data"];
  const [name, how] = [part.slice(0, at).trim(), part.slice(at + 1).trim()];
  if (name === "" || how === "") return null;
  const [, axis] = /^axis:(\d{1,2})$/.exec(how) ?? [];
  const [, feedback] = /^feedback:(.+)$/.exec(how) ?? [];
  const value = axis
    ? { axis: Number(axis) }
    : feedback
      ? { feedback }
      : Number.isNaN(Number(how))
        ? how
        : Number(how);
  const { success, data } = Feed.safeParse(value);
  return success ? [name, data] : null;
}

/** The feeds that a value of `Inputs` says; of a name that is given twice the last one counts. */
export function feedingOf(inputs: Inputs | undefined): Feeding {
  if (inputs === undefined) return new Map();
  if (typeof inputs === "object" && !Array.isArray(inputs)) return new Map(Object.entries(inputs));
  const parts = [inputs].flat().flatMap(partsOf);
  return new Map(parts.map(feedOf).filter((part) => part !== null));
}

/** Whether records fill an input that is fed so. */
export const isFromData = (feed: Feed | undefined): boolean =>
  feed === undefined || feed === "data" || (typeof feed === "object" && "axis" in feed);

/** A feed as text: the inverse of `--input`. */
export function feedText(name: string, feed: Feed): string {
  if (feed === "data") return name;
  if (typeof feed !== "object") return `${name}=${feed}`;
  return "axis" in feed ? `${name}=axis:${feed.axis}` : `${name}=feedback:${feed.feedback}`;
}

/** A feed that suits an input which no record fills, for messages. */
export function proposal({ name, dims, dtype }: Port): string {
  if (/mask/i.test(name)) return `${name}=mask`;
  if (/position/i.test(name)) return `${name}=range`;
  return `${name}=${dims.length === 0 && isInteger(dtype) ? "NUMBER" : "zeros"}`;
}

/** The end of a remedy for an input that records lack. */
export const orFed = (port: Port): string => `, or say how it is fed: --input ${proposal(port)}`;

/**
 * Throws TersorError "wrong-input" for a feed whose input or output the model does not have; null
 * where its outputs are not known.
 */
export function checkFeeding(
  feeding: Feeding,
  inputs: readonly Port[],
  outputs: readonly Pick<Port, "name">[] | null,
  where: string,
): void {
  for (const [name, feed] of feeding) {
    const refuse = (why: string, remedy: string) =>
      fail(errors.wrongInput(where, why, describePorts(inputs), remedy));
    const port = inputs.find((input) => input.name === name);
    if (!port) throw refuse(`the model has no input "${name}"`, "Correct --input");
    if (typeof feed !== "object") continue;
    if ("axis" in feed && !port.isOpenRank && feed.axis >= port.dims.length) {
      throw refuse(
        `"${name}" has no axis ${feed.axis}`,
        `Count its ${port.dims.length} axes from 0`,
      );
    }
    if (!("feedback" in feed) || !outputs) continue;
    if (outputs.some((output) => output.name === feed.feedback)) continue;
    const known = outputs.map((output) => feedText(name, { feedback: output.name }));
    throw refuse(
      `the model has no output "${feed.feedback}"`,
      `Give --input ${known.join(", or ")}`,
    );
  }
}
