/** @file SSIM: the structural similarity of pictures. */
import { z } from "zod";
import { isPictureShape } from "../pictures.ts";
import { structuralSimilarity, windowSize } from "../ssim.ts";
import { judgeMean, targetOf } from "../targets.ts";
import { defineMetric, type Numbers } from "./spec.ts";

export const ssim = defineMetric({
  id: "ssim",
  title: "Structural similarity",
  doc: "Mean over pictures of the structural similarity, with Gaussian windows of 11 x 11 pixels (sigma 1.5) that lie within the picture, K1 = 0.01 and K2 = 0.03; of several channels the mean. The range L of the values is 1, 255 or, where values are negative, 2, by the first target; `ssim:range=65535` says it.",
  cite: "Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13",
  higherIsBetter: true,
  unit: { value: "", drop: "" },
  digits: 4,
  scale: { point: 0.01, collapse: 0.1 },
  needs: "either",
  reads: {
    outputs: "pictures [N, C, H, W] or [N, H, W, C] of 11 x 11 pixels or more",
    label: "the same shape; none: the original's pictures",
  },
  options: z.object({
    range: z
      .number()
      .positive()
      .optional()
      .meta({ description: "Range L of the values (default: by the first target)." }),
  }),
  fits(batch, { range }) {
    const target = targetOf(batch);
    if (typeof target === "string") return target;
    const { output, against, shape } = target;
    if (!isPictureShape(shape)) {
      return `[${shape}] is no shape of pictures: [N, C, H, W] or [N, H, W, C] with 1, 3 or 4 channels`;
    }
    const isPlanar = [1, 3, 4].includes(shape[1]);
    const [height, width] = isPlanar ? shape.slice(2) : shape.slice(1, 3);
    if (Math.min(height, width) < windowSize) {
      return `pictures of ${width} x ${height} pixels are smaller than a window of ${windowSize}`;
    }
    return {
      outputs: [output],
      against,
      judge() {
        let found = range ?? null;
        return judgeMean(target, ({ values, shape: own }, expected) => {
          found ??= rangeOf(expected);
          const [channels, rows, columns] = isPlanar ? own : [own[2], own[0], own[1]];
          const layout = { channels, height: rows, width: columns, isPlanar };
          return structuralSimilarity(values, expected, layout, found);
        });
      },
    };
  },
});

/** The range L of values like these; a little overshoot beyond 1 or 255 is allowed. */
function rangeOf(values: Numbers): number {
  let [least, largest] = [0, 0];
  for (const x of values) {
    if (x < least) least = x;
    if (x > largest) largest = x;
  }
  if (least >= -0.25) return largest <= 1.25 ? 1 : largest <= 300 ? 255 : largest;
  return least >= -1.25 && largest <= 1.25 ? 2 : largest - least;
}
