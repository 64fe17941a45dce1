/** @file Which form each part of a convolution's training step takes. */
import type { Geometry } from "./conv-geometry.ts";
import { defaultInputForm, type InputForm } from "./conv-input.ts";
import { defaultWeightForm, type WeightForm } from "./conv-weight.ts";

/** The form of the convolution itself: plain, or in the engine's blocked layout. */
export type OutputForm = "plain" | "blocked16" | "blocked8";

/**
 * A choice of forms. Each function is called once per convolution between parameters and loss; its
 * answer depends on the sizes only.
 */
export interface Forms {
  readonly output: (geometry: Geometry) => OutputForm;
  readonly input: (geometry: Geometry) => InputForm;
  readonly weight: (geometry: Geometry) => WeightForm;
}

/** The forms that are usually fastest and that every engine can run, so no blocked ones. */
export const defaultForms: Forms = {
  output: () => "plain",
  input: defaultInputForm,
  weight: defaultWeightForm,
};
