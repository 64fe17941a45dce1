/** @file A picture of one's own, drawn, taken or chosen, and what both models say of it. */
import { useEffect, useState } from "preact/hooks";
import { format } from "tersor";
import { Camera } from "../parts/camera.tsx";
import { DrawPad } from "../parts/draw-pad.tsx";
import { type PictureOptions, squareOfFile } from "../parts/picture.ts";
import { Scroll } from "../parts/scroll.tsx";
import type { Side } from "../protocol.ts";
import { candidate, inspection, picture, prediction, show, work } from "../state.ts";

const sources = { draw: "Draw", camera: "Camera", file: "A picture file" } as const;
type Source = keyof typeof sources;
const ways = { grey: "in grey", inverted: "inverted, as for pen on paper" } as const;

export function TryPage() {
  const [source, setSource] = useState<Source>("draw");
  const [options, setOptions] = useState<PictureOptions>({ grey: takesGrey(), inverted: false });
  const give = (png: Uint8Array | null): void => {
    picture.value = png;
  };
  return (
    <section class="two try">
      <div>
        <h2>Picture</h2>
        <p class="row">
          {(Object.keys(sources) as Source[]).map((one) => (
            <label key={one}>
              <input
                type="radio"
                name="source"
                checked={source === one}
                onChange={() => {
                  setSource(one);
                  give(null);
                }}
              />{" "}
              {sources[one]}
            </label>
          ))}
        </p>
        {source === "draw" && <DrawPad onPicture={give} />}
        {source !== "draw" && (
          <p class="row">
            {(Object.keys(ways) as (keyof PictureOptions)[]).map((way) => (
              <label key={way}>
                <input
                  type="checkbox"
                  checked={options[way]}
                  onChange={(event) =>
                    setOptions({ ...options, [way]: event.currentTarget.checked })
                  }
                />{" "}
                {ways[way]}
              </label>
            ))}
          </p>
        )}
        {source === "camera" && <Camera options={options} onPicture={give} />}
        {source === "file" && (
          <p>
            <label class="button">
              Choose a picture
              <input
                type="file"
                accept=".png,.jpg,.jpeg,.webp"
                onChange={(event) => {
                  const [file] = event.currentTarget.files ?? [];
                  if (file) squareOfFile(file, options).then(give).catch(show);
                }}
              />
            </label>
          </p>
        )}
        {source !== "draw" && <Shown />}
        <p class="dim">
          The picture is cut to the input's size and read as “How records are read” says beside the
          data of the recipe.
        </p>
      </div>
      <div class="result">
        <h2>What the models say</h2>
        <Answers />
      </div>
    </section>
  );
}

/** Whether the model's pictures have one channel: [N, 1, H, W] or [N, H, W, 1]. */
function takesGrey(): boolean {
  const shapes = inspection.peek()?.model.inputs.map(({ shape }) => shape) ?? [];
  return shapes.some((shape) => shape.length === 4 && (shape[1] === 1 || shape[3] === 1));
}

/** The picture as it was taken or chosen. */
function Shown() {
  const [url, setUrl] = useState("");
  useEffect(() => {
    if (!picture.value) return setUrl("");
    const made = URL.createObjectURL(new Blob([picture.value as BlobPart]));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [picture.value]);
  return url ? <img class="shown" src={url} alt="What the models are asked about" /> : null;
}

function Answers() {
  const found = prediction.value;
  if (!picture.value) return <p class="dim">Draw or take a picture first.</p>;
  if (!found) {
    const waits =
      work.value === "predicting" ? "Asking ..." : "The answer follows after this work.";
    return (
      <p class="dim" role="status">
        {work.value === null ? "There is no answer: the message says why." : waits}
      </p>
    );
  }
  const { said, error } = found;
  if (!said.original) return <p>The model gives no list of scores.{errorText(error)}</p>;
  const sides = (["original", "candidate"] as const).filter((side) => said[side]);
  const shareOf = (side: Side, index: number) =>
    said[side]?.top.find((one) => one.index === index)?.share ?? null;
  const rows = [...new Set(sides.flatMap((side) => said[side]?.top.map(({ index }) => index)))];
  const [first, second] = sides.map((side) => said[side]?.top[0].index);
  return (
    <div role="status">
      <p class="answer">
        <b>Class {first}</b>
        {candidate.value && second !== undefined && (
          <span class={first === second ? "" : "differs"}>
            {first === second
              ? ", and the candidate agrees."
              : `; the candidate says class ${second}.`}
          </span>
        )}
      </p>
      <Scroll name="Likely classes">
        <table>
          <thead>
            <tr>
              <th scope="col">class</th>
              {sides.map((side) => (
                <th key={side} scope="col" class="right">
                  {side}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((index) => (
              <tr key={index}>
                <th scope="row">{index}</th>
                {sides.map((side) => {
                  const share = shareOf(side, index as number);
                  return (
                    <td key={side} class="right barred">
                      {share === null ? "less" : format.percent(share)}
                      <span style={{ width: `${100 * (share ?? 0)}%` }} />
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <p class="dim">
        {candidate.value ? errorText(error) : "Compress the model to see its answer beside it."}
      </p>
    </div>
  );
}

const errorText = (error: number | null): string =>
  error === null ? "" : ` The candidate's outputs differ by ${format.precise(error)} %.`;
