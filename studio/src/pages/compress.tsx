/** @file The recipe, and the candidate that it makes beside the original. */
import { Comparison } from "../parts/comparison.tsx";
import { LiveCurve } from "../parts/curve.tsx";
import { DataPanel } from "../parts/data-panel.tsx";
import { StepsEditor } from "../parts/steps-editor.tsx";
import { candidate, steps, work } from "../state.ts";

export function CompressPage() {
  return (
    <section class="two">
      <div>
        <h2>Recipe</h2>
        <StepsEditor />
        <h2>Data</h2>
        <DataPanel />
      </div>
      <div class="result">
        <h2>Result</h2>
        {work.value === "compressing" && <LiveCurve />}
        {candidate.value ? <Comparison found={candidate.value} /> : <Nothing />}
      </div>
    </section>
  );
}

function Nothing() {
  if (steps.value.length > 0) return <p class="dim">{work.value ? "Working ..." : ""}</p>;
  return <p class="dim">Add a step or take a preset: the result shows here, measured.</p>;
}
