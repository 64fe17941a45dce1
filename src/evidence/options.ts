/** @file Options of methods that look at calibration records. */
import { z } from "zod";

export const calibrationOptions = {
  records: z
    .int()
    .min(1)
    .max(1e6)
    .default(128)
    .meta({ description: "Calibration records to look at." }),
};

/** The options of methods that invert the second moments E[x x^T] of a layer's inputs. */
export const momentOptions = {
  damping: z
    .number()
    .min(1e-6)
    .max(1)
    .default(0.01)
    .meta({ description: "Added to the Hessian's diagonal, as a share of its mean." }),
  ...calibrationOptions,
};
