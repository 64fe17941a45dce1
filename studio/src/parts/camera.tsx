/** @file A picture from the camera; without a camera a sentence says what to do instead. */
import { useEffect, useRef, useState } from "preact/hooks";
import { whyNot } from "./camera-refusal.ts";
import { type PictureOptions, squarePng } from "./picture.ts";

export function Camera(props: { options: PictureOptions; onPicture(png: Uint8Array): void }) {
  const { options, onPicture } = props;
  const video = useRef<HTMLVideoElement>(null);
  const [stream, setStream] = useState<MediaStream | null>(null);
  const [said, say] = useState("");
  useEffect(() => {
    if (video.current) video.current.srcObject = stream;
    return () => {
      for (const track of stream?.getTracks() ?? []) track.stop();
    };
  }, [stream]);

  const begin = async (): Promise<void> => {
    say("");
    try {
      // Pages from plain http have no mediaDevices.
      if (!navigator.mediaDevices) throw new DOMException("", "NotSupportedError");
      setStream(await navigator.mediaDevices.getUserMedia({ video: true }));
    } catch (error) {
      say(whyNot(error));
    }
  };
  const take = (): void => {
    const { current } = video;
    if (!current || current.videoWidth === 0) {
      say("The camera gives no picture yet.");
      return;
    }
    void squarePng(current, current.videoWidth, current.videoHeight, options).then(onPicture);
  };
  return (
    <div class="camera">
      {stream && <video ref={video} autoplay muted playsInline aria-label="What the camera sees" />}
      <p class="row">
        {stream ? (
          <>
            <button type="button" class="primary" onClick={take}>
              Take the picture
            </button>
            <button type="button" onClick={() => setStream(null)}>
              Close the camera
            </button>
          </>
        ) : (
          <button type="button" onClick={() => void begin()}>
            Open the camera
          </button>
        )}
      </p>
      <p class="dim said" role="status">
        {said}
      </p>
    </div>
  );
}
