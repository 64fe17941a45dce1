/** @file Which size, channels and axis order a model's input wants of images, and the crop there. */
import { errors, fail } from "../errors.ts";
import type { Image } from "../platform.ts";
import type { Port } from "../runtime/runtime.ts";
import { describePort, known, type ReadContext } from "./reader.ts";
import { type Area, coverImage, cropCentre, type Size } from "./resize.ts";

export interface ImageSource {
  readonly length: number;
  readonly labels: Int32Array | null;
  readonly classes: readonly string[] | null;
  /** What every image measures, where the format says so; null: encoded, known once decoded. */
  readonly size: Size | null;
  /** The record's name, for errors. */
  nameOf(index: number): string;
  image(index: number): Image | Promise<Image>;
}

export interface Geometry {
  /** Of the images as the model sees them. */
  readonly size: Size;
  readonly channels: number;
  readonly layout: "nchw" | "nhwc";
  /** One record's axes in the model's input. */
  readonly shape: readonly number[];
  /** An image from the source, brought to `size`; refuses what was not asked to be resized. */
  adapt(image: Image, where: string): Image;
  /** Of an image from the source, what `adapt` shows; null: only whole images as they are. */
  readonly shown: ((image: Size) => Area) | null;
}

type Dim = number | string | undefined;

/** Reads the wish out of the port's dims, and the rest (symbolic dims) out of the first image. */
export async function fitImages(
  source: ImageSource,
  port: Port,
  { spec, options }: ReadContext,
): Promise<Geometry> {
  const layout = options.layout ?? inferLayout(port, spec);
  const axes = imageAxes(port, layout, spec);
  const [width, height] = [known(axes.width), known(axes.height)];
  const asked = options.size && {
    height: options.size[0],
    width: options.size[1] ?? options.size[0],
  };
  // Encoded images are resized to the model's input unasked; raw formats (MNIST, CIFAR) are not.
  const cover = asked ?? (!source.size && width && height ? { width, height } : null);
  const resize = (image: Image) => (cover ? coverImage(image, cover) : image);

  const first = resize(await source.image(0));
  const size = { width: width ?? first.width, height: height ?? first.height };
  const area = size.width * size.height;
  const flat = port.dims.length === 2 ? (known(port.dims[1]) ?? area * first.channels) : null;
  const channels = flat ? flat / area : (known(axes.channels) ?? first.channels);

  const mismatch = (image: Size, where: string) => {
    const remedy = `Resize with --size ${width && height ? describeSize(size) : "HxW"}`;
    return errors.wrongShape(where, `is ${describeSize(image)}`, describePort(port), remedy);
  };
  const adapt = (image: Image, where: string): Image => {
    const resized = resize(image);
    if (resized.width === size.width && resized.height === size.height) return resized;
    const larger = resized.width >= size.width && resized.height >= size.height;
    if (asked && larger) return cropCentre(resized, size);
    if (width || height) throw fail(mismatch(resized, where));
    throw fail(errors.mixedSizes(where, describeSize(resized), describeSize(size)));
  };
  adapt(first, source.nameOf(0));
  if (!Number.isInteger(channels)) throw fail(mismatch(first, source.nameOf(0)));
  const shapes = {
    2: [area * channels],
    3: [size.height, size.width],
    4:
      layout === "nchw" ? [channels, size.height, size.width] : [size.height, size.width, channels],
  };
  const shape = shapes[port.dims.length as keyof typeof shapes];
  const shown = cover && ((image: Size) => centre(image, cover, size));
  return { size, channels, layout, shape, adapt, shown };
}

/** What is left of an image that just covers `cover` when its middle `size` is cut out, in its own pixels. */
function centre({ width, height }: Size, cover: Size, size: Size): Area {
  const scale = Math.max(cover.width / width, cover.height / height);
  const area = { width: size.width / scale, height: size.height / scale };
  return { ...area, left: (width - area.width) / 2, top: (height - area.height) / 2 };
}

/** [N,D] is an image laid out flat, [N,H,W] a grey one, rank 4 has a channel axis. */
function imageAxes(port: Port, layout: "nchw" | "nhwc", spec: string): Record<string, Dim> {
  const [, a, b, c] = port.dims;
  switch (port.dims.length) {
    case 2:
      return {};
    case 3:
      return { height: a, width: b, channels: 1 };
    case 4:
      return layout === "nchw"
        ? { channels: a, height: b, width: c }
        : { height: a, width: b, channels: c };
    default:
      throw fail(
        errors.wrongShape(spec, "holds images", describePort(port), "Prepare the input as npz:"),
      );
  }
}

/** 1 or 3 on one side only tells; a symbolic axis may be anything. */
function inferLayout(port: Port, where: string): "nchw" | "nhwc" {
  if (port.dims.length !== 4) return "nchw";
  const likely = (dim: Dim) => (dim === 1 || dim === 3 ? 2 : known(dim) ? 0 : 1);
  const [, first, , last] = port.dims;
  if (likely(first) > likely(last)) return "nchw";
  if (likely(last) > likely(first)) return "nhwc";
  const why = `the order of the axes of ${describePort(port)} is not clear`;
  throw fail(errors.badOption(where, why, "Give --layout nchw or --layout nhwc"));
}

/** Height before width, as in the model's dims and in --size. */
function describeSize({ width, height }: Size): string {
  return `${height}x${width}`;
}
