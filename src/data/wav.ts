/**
 * @file Sound in RIFF/WAVE files ("Multimedia Programming Interface and Data Specifications 1.0",
 * IBM and Microsoft 1991):
 *
 *   chunk    fields
 *   "RIFF"   uint32 length, "WAVE", then chunks
 *   "fmt "   uint16 format (1 integers, 3 floats, 65534 extensible), uint16 channels, uint32 rate,
 *            uint32 bytes a second, uint16 bytes a frame, uint16 bits
 *   "data"   frames, interleaved
 *
 * Samples lie in [-1, 1); channels are averaged.
 */
import { errors, fail } from "../errors.ts";
import { wantedPorts } from "./array-dataset.ts";
import type { Dataset } from "./dataset.ts";
import { feedingOf } from "./feed.ts";
import { describePorts, filesBelow, isInteger, join, known, type ReadContext } from "./reader.ts";
import { sequenceDataset } from "./sequences.ts";

/** Sound of one channel. */
export interface Sound {
  readonly samples: Float32Array;
  /** Samples a second. */
  readonly rate: number;
}

/** Files that are kept decoded. */
const KEPT = 64;

/**
 * Reads a .wav file, or a folder of them with a folder for each class. A single file is cut into
 * windows of the input's length or --size, each --hop samples after the one before; files in folders
 * are records of their own. Sound of another rate than --sample-rate is resampled; without --sample-rate the rate
 * is that which an input such as sr=16000 is fed, and all files must have one rate. Throws
 * TersorError "no-such-file", "no-records", "bad-data" and "wrong-input".
 */
export async function readWav(path: string, context: ReadContext): Promise<Dataset> {
  const { spec, ports, options, platform } = context;
  const [port, ...others] = wantedPorts(context);
  if (!port || others.length > 0) {
    const why = `sound fills one input, the model has ${ports.length}`;
    const remedy = "Name it, and say how others are fed: --input NAME --input sr=16000";
    throw fail(errors.wrongInput(spec, why, describePorts(ports), remedy));
  }
  const all = await filesBelow(path, platform.files);
  const files = (all ?? [""]).filter((name) => all === null || /\.wav$/i.test(name));
  if (files.length === 0) {
    throw fail(errors.noRecords(spec, "holds no .wav files", "Give a folder for each class"));
  }
  const pathOf = (name: string) => (name === "" ? path : join(path, name));
  let wanted = options.sampleRate ?? rateOf(context) ?? null;
  const load = async (index: number): Promise<Float32Array> => {
    const where = pathOf(files[index]);
    const sound = parseWav(await platform.files.read(where), where);
    wanted ??= sound.rate;
    if (sound.rate === wanted || options.sampleRate) return resampled(sound, wanted);
    const why = `has ${sound.rate} samples a second, not ${wanted}`;
    throw fail(
      errors.badData(where, why, `Resample to what the model takes: --sample-rate ${wanted}`),
    );
  };
  const sounds = keeper(load);
  const scale = isInteger(port.dtype) ? 32768 : 1;
  const scaled = (samples: Float32Array) =>
    scale === 1 ? samples : samples.map((x) => Math.round(scale * x));
  const around = { ports: [port], padding: [0], targets: null };
  const first = await sounds(0);
  const size = options.size?.[0] ?? known(port.dims.at(-1)) ?? null;
  if (all === null && size !== null) {
    const hop = options.hop ?? size;
    const length = Math.max(1, Math.floor((first.length - size) / hop) + 1);
    const values = (i: number) => [scaled(first.subarray(i * hop, i * hop + size))];
    return sequenceDataset({ ...around, length, classes: null, labels: null, values }, context);
  }
  const folders = files.map((name) => name.split("/").slice(0, -1).join("/"));
  const classes = [...new Set(folders)].sort();
  const isLabelled = classes.length > 1;
  return sequenceDataset(
    {
      ...around,
      length: files.length,
      classes: isLabelled ? classes : null,
      labels: isLabelled ? Int32Array.from(folders, (name) => classes.indexOf(name)) : null,
      values: async (index) => [scaled((await sounds(index)).subarray(0, size ?? undefined))],
    },
    context,
  );
}

/** The number that an input of that meaning is fed: sr=16000. */
function rateOf({ options }: ReadContext): number | null {
  const fed = [...feedingOf(options.input)].find(([name]) => /^(sr|.*rate)$/i.test(name));
  return typeof fed?.[1] === "number" ? fed[1] : null;
}

/** The last results of `load`, which are asked for in any order. */
function keeper(load: (index: number) => Promise<Float32Array>) {
  const kept = new Map<number, Promise<Float32Array>>();
  return (index: number): Promise<Float32Array> => {
    const found = kept.get(index) ?? load(index);
    kept.set(index, found);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value as number);
    return found;
  };
}

/**
 * Decodes integers of 8, 16, 24 and 32 bits and floats of 32. Throws TersorError "bad-data" at
 * `where` for anything else.
 */
export function parseWav(bytes: Uint8Array, where: string): Sound {
  const bad = (why: string) =>
    fail(errors.badData(where, why, "Give RIFF/WAVE with PCM of 8 to 32 bits, or float32"));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.byteLength < 12 || word(0) !== "RIFF" || word(8) !== "WAVE")
    throw bad("is no RIFF/WAVE file");
  let format: { kind: number; channels: number; rate: number; bits: number } | null = null;
  for (let at = 12; at + 8 <= bytes.byteLength; ) {
    const length = view.getUint32(at + 4, true);
    const start = at + 8;
    const held = Math.min(length, bytes.byteLength - start); // a recorder that was stopped
    if (word(at) === "fmt " && held >= 16) {
      const tag = view.getUint16(start, true);
      const kind = tag === 0xfffe && held >= 26 ? view.getUint16(start + 24, true) : tag;
      const channels = view.getUint16(start + 2, true);
      const rate = view.getUint32(start + 4, true);
      format = { kind, channels, rate, bits: view.getUint16(start + 14, true) };
    }
    if (word(at) === "data") {
      if (!format || format.channels === 0 || format.rate === 0) throw bad("says no format");
      const sample = decoders[`${format.kind} ${format.bits}`];
      if (!sample) throw bad(`has samples of format ${format.kind} with ${format.bits} bits`);
      const { channels, rate, bits } = format;
      const each = bits / 8;
      const samples = new Float32Array(Math.floor(held / (each * channels)));
      for (let i = 0; i < samples.length; i++) {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += sample(view, start + (i * channels + c) * each);
        samples[i] = sum / channels;
      }
      return { samples, rate };
    }
    at = start + length + (length % 2); // chunks begin at even places
  }
  throw bad("holds no sound");
}

/** A sample at a place, by format and bits. Bytes are unsigned, all else is signed. */
const decoders: Readonly<Record<string, ((view: DataView, at: number) => number) | undefined>> = {
  "1 8": (view, at) => (view.getUint8(at) - 128) / 128,
  "1 16": (view, at) => view.getInt16(at, true) / 2 ** 15,
  "1 24": (view, at) => (view.getInt8(at + 2) * 65536 + view.getUint16(at, true)) / 2 ** 23,
  "1 32": (view, at) => view.getInt32(at, true) / 2 ** 31,
  "3 32": (view, at) => view.getFloat32(at, true),
};

/** The sound at another rate, by straight lines between samples. */
export function resampled({ samples, rate }: Sound, wanted: number): Float32Array {
  if (rate === wanted) return samples;
  const out = new Float32Array(Math.floor((samples.length * wanted) / rate));
  for (let i = 0; i < out.length; i++) {
    const at = (i * rate) / wanted;
    const left = Math.floor(at);
    const right = Math.min(left + 1, samples.length - 1);
    out[i] = samples[left] + (at - left) * (samples[right] - samples[left]);
  }
  return out;
}
