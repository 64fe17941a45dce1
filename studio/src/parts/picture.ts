/** @file Makes a picture of a video or a file as a model may need it: square, grey, inverted. */

export interface PictureOptions {
  /** In shades of grey, by luminance (ITU-R BT.601). */
  readonly grey: boolean;
  /** Light becomes dark: pen on paper becomes white on black. */
  readonly inverted: boolean;
}

/** The centre square of what is shown, as a PNG file. */
export function squarePng(
  source: CanvasImageSource,
  width: number,
  height: number,
  { grey, inverted }: PictureOptions,
): Promise<Uint8Array> {
  const side = Math.min(width, height);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [side, side];
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  context.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, side, side);
  const image = context.getImageData(0, 0, side, side);
  const { data } = image;
  for (let i = 0; i < data.length; i += 4) {
    let [red, green, blue] = [data[i], data[i + 1], data[i + 2]];
    if (grey) red = green = blue = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    if (inverted) [red, green, blue] = [255 - red, 255 - green, 255 - blue];
    [data[i], data[i + 1], data[i + 2], data[i + 3]] = [red, green, blue, 255];
  }
  context.putImageData(image, 0, 0);
  return pngOf(canvas);
}

/** A chosen file as such a picture. Rejects with an Error that says that it is none. */
export async function squareOfFile(file: File, options: PictureOptions): Promise<Uint8Array> {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`"${file.name}" is no picture that this browser can read`);
  });
  return squarePng(bitmap, bitmap.width, bitmap.height, options);
}

export function pngOf(canvas: HTMLCanvasElement): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => {
      if (blob) blob.arrayBuffer().then((bytes) => resolve(new Uint8Array(bytes)), reject);
      else reject(new Error("the browser made no picture of the canvas"));
    }),
  );
}
