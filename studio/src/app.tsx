/** @file The frame of the page: header, tabs, what goes on, what went wrong, and the page itself. */
import type { ComponentChildren, FunctionComponent } from "preact";
import { format } from "tersor";
import { CompressPage } from "./pages/compress.tsx";
import { GraphPage } from "./pages/graph.tsx";
import { ModelPage } from "./pages/model.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { ReportPage } from "./pages/report.tsx";
import { SurveyPage } from "./pages/survey.tsx";
import { TrainPage } from "./pages/train.tsx";
import { TryPage } from "./pages/try.tsx";
import { ProblemNote } from "./parts/problem.tsx";
import {
  finishTraining,
  inspection,
  model,
  type Page,
  page,
  pages,
  progress,
  stop,
  work,
} from "./state.ts";

const views: Readonly<Record<Page, FunctionComponent>> = {
  model: ModelPage,
  overview: OverviewPage,
  compress: CompressPage,
  train: TrainPage,
  survey: SurveyPage,
  graph: GraphPage,
  try: TryPage,
  report: ReportPage,
};

export function App() {
  const View = model.value ? views[page.value] : ModelPage;
  return (
    <>
      <header class="bar">
        <a class="brand" href="#model">
          tersor <span>studio</span>
        </a>
        <nav aria-label="Pages">
          {pages.map((name) => (
            <Tab key={name} to={name} enabled={name === "model" || model.value !== null}>
              {format.capitalized(name)}
            </Tab>
          ))}
        </nav>
        {model.value && (
          <p class="open">
            <b>{baseName(model.value.path)}</b>
            {inspection.value && <span>{format.bytes(inspection.value.model.bytes)}</span>}
          </p>
        )}
      </header>
      <WorkBar />
      <main>
        <ProblemNote />
        <View />
      </main>
    </>
  );
}

function Tab(props: { to: Page; enabled: boolean; children: ComponentChildren }) {
  const { to, enabled, children } = props;
  if (!enabled) return <span aria-disabled="true">{children}</span>;
  const isHere = page.value === to;
  return (
    <a href={`#${to}`} aria-current={isHere ? "page" : undefined}>
      {children}
    </a>
  );
}

/** The work that goes on, how far it is, and how to stop it. */
function WorkBar() {
  const step = progress.value;
  return (
    <div class="work" role="status" data-work={work.value ?? "none"}>
      {work.value && (
        <>
          <progress
            aria-label={work.value}
            {...(step && step.total > 0 ? { value: step.done, max: step.total } : {})}
          />
          <span>
            {work.value}
            {step && `: ${step.what}`}
            {step && step.total > 1 && ` ${Math.min(step.done + 1, step.total)} of ${step.total}`}
            {step?.detail && `, ${step.detail}`}
          </span>
          {step?.training && work.value === "compressing" && (
            <button type="button" onClick={finishTraining}>
              Keep the best
            </button>
          )}
          <button type="button" onClick={() => void stop()}>
            Stop
          </button>
        </>
      )}
    </div>
  );
}

/** The last part of a path. */
export const baseName = (path: string): string => path.replace(/^.*[/\\](?=.)/s, "");
