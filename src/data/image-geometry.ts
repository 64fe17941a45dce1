/**
 * @file The size, the channels and the axis order of images that a model's input expects, and the
 * crop that leads there.
 */
import { errors, fail } from "../errors.ts";
import type { Image } from "../platform.ts";
import type { Port } from "../runtime/runtime.ts";
import { describePort, known, type ReadContext } from "./reader.ts";
import { type Area, containImage, coverImage, cropCentre, type Size } from "./resize.ts";

/** Images that a reader has found. */
export interface ImageSource {
  readonly length: number;
  readonly labels: Int32Array | null;
  readonly classes: readonly string[] | null;
  /**
   * The size of every image, if the format defines it; null for encoded images, whose size is known
   * once they are decoded.
   */
  readonly size: Size | null;
  /** The record's name, for errors. */
  nameOf(index: number): string;
  image(index: number): Image | Promise<Image>;
}

/** The images of a model's input. */
export interface Geometry {
  /** The size of the images as the model sees them. */
  readonly size: Size;
  readonly channels: number;
  readonly layout: "nchw" | "nhwc";
  /** The axes of one record in the model's input. */
  readonly shape: readonly number[];
  /**
   * An image of the source in `size`. Throws where it would have to be resized without
   * having been asked to.
   */
  adapt(image: Image, where: string): Image;
  /** The part of a source's image that `adapt` shows; null if only whole images are accepted. */
  readonly shown: ((image: Size) => Area) | null;
}

type Dim = number | string | undefined;

/**
 * The geometry by the input's dimensions; where they are symbolic, by the first image. Throws
 * TersorError "wrong-shape", "mixed-sizes" or "bad-option".
 */
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
  // Encoded images are always resized to the model's input. Raw formats (MNIST, CIFAR)
  // are only on request.
  const cover = asked ?? (!source.size && width && height ? { width, height } : null);
  const { fill } = options;
  const resize = (image: Image) => {
    if (!cover) return image;
    return fill === undefined ? coverImage(image, cover) : containImage(image, cover, fill);
  };

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
  const shown = fill === undefined && cover ? (image: Size) => centre(image, cover, size) : null;
  return { size, channels, layout, shape, adapt, shown };
}

/**
 * The area of an image, in its own pixels, that is left when the image is scaled to just cover
 * `cover` and its middle of `size` is cut out.
 */
function centre({ width, height }: Size, cover: Size, size: Size): Area {
  const scale = Math.max(cover.width / width, cover.height / height);
  const area = { width: size.width / scale, height: size.height / scale };
  return { ...area, left: (width - area.width) / 2, top: (height - area.height) / 2 };
}

/**
 * The axes of an input: [N, D] is a flat image, [N, H, W] a grey one, and rank 4 has an axis of
 * channels.
 */
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

/**
 * The layout by which of the two axes is more likely the channels: a 1 or 3 is likely, a symbolic
 * axis may be, another number is not. Throws where neither is the likelier one.
 */
function inferLayout(port: Port, where: string): "nchw" | "nhwc" {
  if (port.dims.length !== 4) return "nchw";
  const likely = (dim: Dim) => (dim === 1 || dim === 3 ? 2 : known(dim) ? 0 : 1);
  const [, first, , last] = port.dims;
  if (likely(first) > likely(last)) return "nchw";
  if (likely(last) > likely(first)) return "nhwc";
  const why = `the order of the axes of ${describePort(port)} is not clear`;
  throw fail(errors.badOption(where, why, "Give --layout nchw or --layout nhwc"));
}

/** Height before width, as in the model's dimensions and in --size. */
function describeSize({ width, height }: Size): string {
  return `${height}x${width}`;
}
