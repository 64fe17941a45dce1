/** @file A square of 28 x 28 pixels to draw on, with a mouse, a finger or the keyboard. */
import { useEffect, useRef } from "preact/hooks";
import { dabbed, size } from "./brush.ts";
import { pngOf } from "./picture.ts";

export function DrawPad({ onPicture }: { onPicture(png: Uint8Array | null): void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const pixels = useRef<Uint8Array>(new Uint8Array(size * size));
  const cursor = useRef({ x: size / 2, y: size / 2, isDown: false });
  const timer = useRef(0);

  const paint = (): void => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(size, size);
    for (const [i, value] of pixels.current.entries()) {
      image.data.set([value, value, value, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
  };
  /** Hands the picture over when the hand rests. */
  const give = (): void => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      if (canvas.current) void pngOf(canvas.current).then(onPicture);
    }, 250) as unknown as number;
  };
  const dab = (x: number, y: number): void => {
    pixels.current = dabbed(pixels.current, x, y);
    paint();
    give();
  };
  const clear = (): void => {
    clearTimeout(timer.current);
    pixels.current = new Uint8Array(size * size);
    paint();
    onPicture(null);
  };
  useEffect(() => {
    paint();
    return () => clearTimeout(timer.current);
  }, []);

  const at = (event: PointerEvent): [number, number] => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const place = (from: number, start: number, length: number) => ((from - start) * size) / length;
    return [place(event.clientX, box.left, box.width), place(event.clientY, box.top, box.height)];
  };
  const onKey = (event: KeyboardEvent): void => {
    const own = cursor.current;
    const moves: Record<string, readonly [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const move = moves[event.key];
    if (move) {
      own.x = Math.max(0, Math.min(size, own.x + move[0]));
      own.y = Math.max(0, Math.min(size, own.y + move[1]));
    } else if (event.key === " ") own.isDown = !own.isDown;
    else if (event.key === "Delete" || event.key === "Backspace") clear();
    else return;
    event.preventDefault();
    if (own.isDown && (move || event.key === " ")) dab(own.x, own.y);
  };
  return (
    <div class="pad">
      <canvas
        ref={canvas}
        width={size}
        height={size}
        role="img"
        tabIndex={0}
        aria-label="Drawing of 28 by 28 pixels"
        aria-describedby="pad-help"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          dab(...at(event));
        }}
        onPointerMove={(event) => {
          if (event.currentTarget.hasPointerCapture(event.pointerId)) dab(...at(event));
        }}
        onKeyDown={onKey}
      />
      <p class="dim" id="pad-help">
        Draw here. With the keyboard: arrows move, space lowers and lifts the pen, delete clears.
      </p>
      <button type="button" onClick={clear}>
        Clear
      </button>
    </div>
  );
}
