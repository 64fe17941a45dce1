/** @file The report of the last compression, survey or search: the same page that the command line writes. */
import { useEffect } from "preact/hooks";
import { call } from "../engine.ts";
import { commandLine, productName, searchLine, surveyLine } from "../parts/as-text.ts";
import { download } from "../parts/download.ts";
import type { Calls } from "../protocol.ts";
import { candidate, model, report, reported, search, show, survey, work } from "../state.ts";

export function ReportPage() {
  const html = report.value;
  const isThere = reported.value !== null;
  const isIdle = work.value === null;
  useEffect(() => {
    if (html === null && isThere && isIdle) void make();
  }, [html, isThere, isIdle]);
  if (!isThere) return <p class="dim">Compress the model, try every family or search first.</p>;
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
  await call("report", last(model.value?.path ?? "model.onnx"))
    .then((html) => {
      report.value = html;
    })
    .catch(show);
}

/** What was measured last: its command line, and its report where the page holds it. */
function last(path: string): Calls["report"][0] {
  const [one, many, found] = [candidate.value, survey.value, search.value];
  if (reported.value === "survey" && many) {
    return { commandLine: surveyLine({ path, ...many.settings }), report: many.report };
  }
  if (reported.value === "search" && found) {
    return { commandLine: searchLine({ path, ...found }), report: found.report };
  }
  return { commandLine: one ? commandLine({ path, ...one, ...one.settings }) : "", report: null };
}
