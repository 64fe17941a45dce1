/**
 * @file A dataset of images in the form of a model's input: size, channels, layout, type, and
 *
 *   value = (pixel / scale - mean) / std        with mean and std for each channel
 */
import { errors, fail } from "../errors.ts";
import { arrayOf, type DType, type TypedArray } from "../ir/dtype.ts";
import { rawTensor, type Tensor, tensor } from "../ir/tensor.ts";
import type { Image } from "../platform.ts";
import type { Port } from "../runtime/runtime.ts";
import { wantedPorts } from "./array-dataset.ts";
import type { Batch, Dataset, Window } from "./dataset.ts";
import { proposal } from "./feed.ts";
import { fitImages, type Geometry, type ImageSource } from "./image-geometry.ts";
import type { DataOptions } from "./options.ts";
import { describePorts, holds, isInteger, offsetLabels, type ReadContext } from "./reader.ts";
import { type Area, coverImage, resizeArea, type Size } from "./resize.ts";

/** Bytes of decoded pixels that are kept between epochs; other images are decoded again. */
const cacheBytes = 256 * 2 ** 20;
/** Images decoded at the same time: enough to use a thread pool, few enough to bound memory. */
const inFlight = 16;

/**
 * The dataset of `source`'s images for the model's image input. One image is decoded to check
 * that it fits. Throws TersorError "wrong-input", "wrong-shape", "mixed-sizes",
 * "wrong-channels" or "bad-option".
 */
export async function imageDataset(source: ImageSource, context: ReadContext): Promise<Dataset> {
  const { spec, options } = context;
  const port = imagePort(context);
  const geometry = await fitImages(source, port, context);
  const { size, channels, layout, shown } = geometry;
  const dtype = port.dtype ?? "float32";
  const isSwapped = options.bgr === true && channels === 3;
  const tables = pixelTables(dtype, channels, options, spec);
  const pixelsOf = adapted(source, geometry);
  await pixelsOf(0);
  const area = size.width * size.height;
  const record = area * channels;
  const labels = source.labels && offsetLabels(source.labels, options.labelOffset);

  const batchOf = async (
    indices: readonly number[],
    imageOf: (index: number, slot: number) => Image | Promise<Image>,
  ): Promise<Batch> => {
    const bytes = record * indices.length * tables[0].BYTES_PER_ELEMENT;
    const out = new (arrayOf(dtype))(new ArrayBuffer(bytes), 0, record * indices.length);
    await eachOf(indices, async (index, slot) => {
      const held = imageOf(index, slot);
      const { data } = held instanceof Promise ? await held : held;
      write(out, slot * record, data, tables, { plane: layout === "nchw" ? area : 0, isSwapped });
    });
    const shape = [indices.length, ...geometry.shape];
    return {
      inputs: { [port.name]: rawTensor(dtype, shape, new Uint8Array(out.buffer)) },
      label: labels && classIndices(indices, labels),
      size: indices.length,
    };
  };
  const windowOf = shown && windows(source, geometry, shown);
  return {
    name: spec,
    length: source.length,
    classes: source.classes,
    labelled: labels !== null,
    labels,
    images: { input: port.name, channels, ...size, layout, black: blackOf(dtype, tables) },
    read: (indices) => batchOf(indices, pixelsOf),
    ...(windowOf && {
      readWindows: (indices, windows) =>
        batchOf(indices, (index, slot) => windowOf(index, windows[slot])),
    }),
  };
}

function classIndices(indices: readonly number[], labels: Int32Array): Tensor {
  const wanted = Int32Array.from(indices, (i) => labels[i]);
  return tensor("int64", [wanted.length], wanted);
}

/** The input that the images fill: the one that --input names, or the only one left to fill. */
function imagePort(context: ReadContext): Port {
  const { ports, spec } = context;
  const [port, ...others] = wantedPorts(context);
  if (port && others.length === 0) return port;
  const what = `images fill one input, the model has ${ports.length}`;
  const named = ports.find(({ dims }) => dims.length > 2) ?? ports[0];
  const rest = ports.filter((other) => other !== named).map(proposal);
  const flags = [named.name, ...rest].map((text) => `--input ${text}`).join(" ");
  const remedy = `Name it, and say how others are fed: ${flags}`;
  throw fail(errors.wrongInput(spec, what, describePorts(ports), remedy));
}

/** Records in the size and the channels of the model. */
function adapted(source: ImageSource, geometry: Geometry) {
  return keeper(source, (image, index) =>
    toChannels(
      geometry.adapt(image, source.nameOf(index)),
      geometry.channels,
      source.nameOf(index),
    ),
  );
}

/**
 * Windows of the part of a record that the model sees. They are cut from the picture itself, which
 * is shrunk only where it has more than twice the input's size.
 */
function windows(source: ImageSource, { size, channels }: Geometry, shown: (image: Size) => Area) {
  const pictureOf = keeper(source, (image) => {
    const { width, height } = shown(image);
    const shrink = Math.max(1, Math.min(width / (2 * size.width), height / (2 * size.height)));
    return coverImage(image, {
      width: Math.round(image.width / shrink),
      height: Math.round(image.height / shrink),
    });
  });
  return async (index: number, { top, left, height, width }: Window): Promise<Image> => {
    const picture = await pictureOf(index);
    const seen = shown(picture);
    const area = {
      left: seen.left + left * seen.width,
      top: seen.top + top * seen.height,
      width: width * seen.width,
      height: height * seen.height,
    };
    return toChannels(resizeArea(picture, area, size), channels, source.nameOf(index));
  };
}

/** Images after `prepare`. Encoded images are kept between epochs as long as there is room. */
function keeper(source: ImageSource, prepare: (image: Image, index: number) => Image) {
  const cache = new Map<number, Image>();
  let room = source.size ? 0 : cacheBytes;
  const keep = (image: Image, index: number): Image => {
    const prepared = prepare(image, index);
    if (prepared.data.length <= room && !cache.has(index)) {
      room -= prepared.data.length;
      cache.set(index, prepared);
    }
    return prepared;
  };
  return (index: number): Image | Promise<Image> => {
    const kept = cache.get(index);
    if (kept) return kept;
    const image = source.image(index);
    return image instanceof Promise
      ? image.then((decoded) => keep(decoded, index))
      : keep(image, index);
  };
}

/**
 * Grey becomes colour by repetition; colour becomes grey only if its channels are equal, so
 * that nothing is lost.
 */
function toChannels(image: Image, to: number, where: string): Image {
  const { data, channels: from } = image;
  if (from === to) return image;
  const area = data.length / from;
  const out = new Uint8Array(area * to);
  if (from === 1) {
    for (let i = 0; i < out.length; i++) out[i] = data[Math.floor(i / to)];
    return { ...image, channels: to, data: out };
  }
  if (to !== 1 || from !== 3) throw fail(errors.wrongChannels(where, from, to));
  for (let i = 0; i < area; i++) {
    out[i] = data[3 * i];
    if (data[3 * i + 1] !== out[i] || data[3 * i + 2] !== out[i]) {
      throw fail(errors.wrongChannels(where, from, to));
    }
  }
  return { ...image, channels: to, data: out };
}

/** For each channel, the input elements of the 256 pixel values in their storage type. */
function pixelTables(
  dtype: DType,
  channels: number,
  options: DataOptions,
  where: string,
): TypedArray[] {
  const { scale = isInteger(dtype) ? 1 : 255 } = options;
  const mean = perChannel(options.mean ?? [0], channels, where, "mean");
  const std = perChannel(options.std ?? [1], channels, where, "std");
  return mean.map((m, c) => {
    const values = Array.from({ length: 256 }, (_, pixel) => (pixel / scale - m) / std[c]);
    if (!isInteger(dtype)) return tensor(dtype, [256], values).data();
    const rounded = values.map(Math.round);
    const wrong = rounded.findIndex((x) => !holds(dtype, x));
    if (wrong < 0) return tensor(dtype, [256], rounded).data();
    const why = `pixel ${wrong} becomes ${values[wrong]}, which the model's ${dtype} input cannot hold`;
    throw fail(errors.badOption(where, why, "Correct --scale, --mean and --std"));
  });
}

/** The value of a black pixel in each channel. */
function blackOf(dtype: DType, tables: readonly TypedArray[]): number[] {
  return tables.map((table) => tensor(dtype, [1], table.slice(0, 1)).numbers()[0]);
}

function perChannel(values: readonly number[], channels: number, where: string, name: string) {
  if (values.length === 1) return new Array<number>(channels).fill(values[0]);
  if (values.length === channels) return [...values];
  const why = `--${name} has ${values.length} values, the model's input has ${channels} channels`;
  throw fail(errors.badOption(where, why, `Give 1 or ${channels} values`));
}

/**
 * Converts the pixels [height, width, channels] by the tables and writes them to `out`. `plane` is
 * the distance between channels, 0 if they stay interleaved; `isSwapped`: the last channel is the
 * first.
 */
function write(
  out: TypedArray,
  start: number,
  pixels: Uint8Array,
  tables: readonly TypedArray[],
  { plane, isSwapped }: { readonly plane: number; readonly isSwapped: boolean },
): void {
  const channels = tables.length;
  const step = plane ? 1 : channels;
  for (let c = 0; c < channels; c++) {
    const table = tables[c];
    let to = start + c * (plane || 1);
    for (
      let from = isSwapped ? channels - 1 - c : c;
      from < pixels.length;
      from += channels, to += step
    ) {
      out[to] = table[pixels[from]];
    }
  }
}

/** Calls `work` for every item, a few at a time. After a failure no more items are begun. */
async function eachOf<T>(items: readonly T[], work: (item: T, slot: number) => Promise<void>) {
  let next = 0;
  const worker = async () => {
    try {
      while (next < items.length) {
        const slot = next++;
        await work(items[slot], slot);
      }
    } catch (error) {
      next = items.length;
      throw error;
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, items.length) }, worker));
}
