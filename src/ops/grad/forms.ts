/** @file Which of its forms each part of a convolution's training step takes. */
import type { Geometry } from "./conv-geometry.ts";
import { defaultInputForm, type InputForm } from "./conv-input.ts";
import { defaultWeightForm, type WeightForm } from "./conv-weight.ts";

/** Of the convolution itself: as it is, or in the engine's blocked layout. */
export type OutputForm = "plain" | "blocked16" | "blocked8";

/** Asked once for each convolution on the way to the loss; answers depend on its sizes only. */
export interface Forms {
  readonly output: (geometry: Geometry) => OutputForm;
  readonly input: (geometry: Geometry) => InputForm;
  readonly weight: (geometry: Geometry) => WeightForm;
}

/** What is fast as a rule, and what any engine can run: no blocked layouts. */
export const defaultForms: Forms = {
  output: () => "plain",
  input: defaultInputForm,
  weight: defaultWeightForm,
};
