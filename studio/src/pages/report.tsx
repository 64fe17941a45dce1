/** @file The report of the last compression or survey: the same page that the command line writes. */
import { useEffect } from "preact/hooks";
import { call } from "../engine.ts";
import { commandLine, productName, surveyLine } from "../parts/as-text.ts";
import { download } from "../parts/download.ts";
import { candidate, model, report, settings, show, survey, work } from "../state.ts";

export function ReportPage() {
  const html = report.value;
  const isThere = candidate.value !== null || survey.value.rows.length > 0;
  const isIdle = work.value === null;
  useEffect(() => {
    if (html === null && isThere && isIdle) void make();
  }, [html, isThere, isIdle]);
  if (!isThere) return <p class="dim">Compress the model or try every family first.</p>;
  if (html === null) return <p class="dim">The report follows when the work is done.</p>;
  const name = productName(model.value?.path ?? "model.onnx", "onnx").replace(/\.onnx$/, ".html");
  return (
    <section class="report">
      <p class="row">
        <button type="button" onClick={() => download(name, html, "text/html")}>
          Download the report
        </button>
      </p>
      <iframe title="Report" sandbox="allow-scripts allow-modals" srcdoc={html} />
    </section>
  );
}

async function make(): Promise<void> {
  const path = model.value?.path ?? "model.onnx";
  const found = candidate.value;
  const line = found
    ? commandLine({ path, ...found, ...found.settings })
    : surveyLine({ path, ...settings() });
  await call("report", { commandLine: line })
    .then((html) => {
      report.value = html;
    })
    .catch(show);
}
