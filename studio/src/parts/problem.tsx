/** @file What went wrong, as a sentence, and the remedy. */
import { problem } from "../state.ts";
import { infoInPage } from "./in-page.ts";

export function ProblemNote() {
  if (!problem.value) return null;
  const info = infoInPage(problem.value);
  const where = info.where && info.where !== "worker" ? `${info.where}: ` : "";
  return (
    <div class="problem" role="alert" data-code={info.code}>
      <p>
        <b>
          {where}
          {info.what}.
        </b>{" "}
        {info.remedy}.
      </p>
      <button
        type="button"
        aria-label="Close the message"
        onClick={() => {
          problem.value = null;
        }}
      >
        Close
      </button>
    </div>
  );
}
