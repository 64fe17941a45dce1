/**
 * @file Text: a record for each line, or blocks of so many tokens for models that predict the next
 * one, tokenized as the model's authors publish it (tokenizer.json).
 */
import { errors, fail } from "../errors.ts";
import { readVocabulary, type Vocabulary } from "../evidence/vocabulary.ts";
import type { Model } from "../ir/model.ts";
import type { Port } from "../runtime/runtime.ts";
import { wantedPorts } from "./array-dataset.ts";
import type { Dataset } from "./dataset.ts";
import type { Feed, Feeding } from "./feed.ts";
import { describePorts, isInteger, join, known, type ReadContext } from "./reader.ts";
import { sequenceDataset } from "./sequences.ts";

/** Files that a folder of a model may hold. */
export const tokenizers = ["tokenizer.json", "vocab.json"];

/** How the inputs beside the ids are fed where the user says nothing of them. */
const usual: readonly (readonly [RegExp, Feed])[] = [
  [/mask/i, "mask"],
  [/position/i, "range"],
  [/token_?type|segment/i, "zeros"],
  [/past|cache/i, "zeros"],
];

/** The feeds of a language model's other inputs, by their names. */
export function textFeeding(ports: readonly Port[]): Feeding {
  const ids = idsOf(ports);
  return new Map(
    ports.flatMap((port) => {
      const found = port === ids ? undefined : usual.find(([name]) => name.test(port.name));
      return found ? [[port.name, found[1]] as const] : [];
    }),
  );
}

/** The input of the tokens: the one whose name says so, else the first of integers. */
function idsOf(ports: readonly Port[]): Port | undefined {
  const integers = ports.filter(({ dtype }) => isInteger(dtype));
  const others = integers.filter(({ name }) => !usual.some(([pattern]) => pattern.test(name)));
  return others.find(({ name }) => /ids|tokens/i.test(name)) ?? others[0];
}

/**
 * Reads a text file. Lines of a .tsv that end in a whole number have it as their class. A model with
 * scores for each token of the vocabulary (an output [N, T, V]) gets the next tokens as labels, and
 * with --size, or where it fixes the length, blocks of that length without regard to lines. Throws
 * TersorError "wrong-input", "no-such-file", "no-records" and "bad-data" for a file that is no
 * tokenizer.
 */
export async function readText(path: string, context: ReadContext): Promise<Dataset> {
  const { spec, ports, options, platform, model = null } = context;
  const [ids, ...others] = wantedPorts(context);
  if (!ids || others.length > 0 || !isInteger(ids.dtype)) {
    const why = "text fills one input of token ids";
    const remedy = `Name it, and say how others are fed: --input ${idsOf(ports)?.name ?? "NAME"}`;
    throw fail(errors.wrongInput(spec, why, describePorts(ports), remedy));
  }
  const vocabulary = await vocabularyOf(context);
  const text = new TextDecoder().decode(await platform.files.read(path));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  const size = options.size?.[0] ?? known(ids.dims[1]) ?? null;
  const around = { classes: null, ports: [ids], padding: [vocabulary.padding] };
  const isLabelled = /\.tsv$/i.test(path) && lines.every((line) => /\t-?\d{1,9}$/.test(line));
  if (!isLabelled && model && isDecoder(model, vocabulary)) {
    const whole = size === null ? lines.map(vocabulary.encode) : blocks(lines, size, vocabulary);
    // The last token of a record has no next one.
    const records = whole.filter(({ length }) => length > 1);
    const targets = (index: number) => records[index].slice(1);
    const values = (index: number) => [records[index].slice(0, -1)];
    return sequenceDataset(
      { ...around, length: records.length, labels: null, targets, values },
      context,
    );
  }
  const start = vocabulary.start === null ? [] : [vocabulary.start];
  const cut = (line: string): readonly number[] =>
    [...start, ...vocabulary.encode(line)].slice(0, size ?? undefined);
  const at = (line: string) => (isLabelled ? line.lastIndexOf("\t") : line.length);
  const labels = isLabelled
    ? Int32Array.from(lines, (line) => Number(line.slice(at(line) + 1)))
    : null;
  const values = (index: number) => [cut(lines[index].slice(0, at(lines[index])))];
  const length = lines.length;
  return sequenceDataset({ ...around, length, labels, targets: null, values }, context);
}

/** Consecutive blocks of `size` tokens and the one that follows each. */
function blocks(lines: readonly string[], size: number, { encode }: Vocabulary): number[][] {
  const all = encode(lines.join("\n"));
  const found: number[][] = [];
  for (let at = 0; at + 1 < all.length; at += size) found.push(all.slice(at, at + size + 1));
  return found;
}

/** Whether some output holds a score for each token of the vocabulary at each position. */
function isDecoder({ graph }: Model, { size }: Vocabulary): boolean {
  return graph.outputs.some(({ dtype, shape }) => {
    const scores = shape?.length === 3 ? shape[2] : null;
    return (dtype?.includes("float") ?? false) && typeof scores === "number" && scores >= size;
  });
}

/** The tokenizer that --tokenizer names, or that lies beside the model or the text. */
async function vocabularyOf({
  options,
  platform,
  beside = [],
  spec,
}: ReadContext): Promise<Vocabulary> {
  const { files } = platform;
  const given = options.tokenizer;
  const paths = beside.flatMap((folder) => tokenizers.map((name) => join(folder, name)));
  const path = given ?? paths.find((found) => files.exists(found));
  if (path === undefined) {
    const why = "there is no tokenizer.json beside the model";
    throw fail(errors.unknownData(spec, why, "Name it: --tokenizer tokenizer.json"));
  }
  return readVocabulary(await files.read(path), path);
}
