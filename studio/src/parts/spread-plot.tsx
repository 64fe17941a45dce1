/** @file The histogram of the weight of a layer. */
import { format } from "tersor";
import type { Spread } from "../protocol.ts";

export function SpreadPlot({ found }: { found: Spread }) {
  const { layer, shape, n, zeros, mean, std, low, high, counts } = found;
  const most = Math.max(...counts);
  const [width, height] = [560, 120];
  const step = width / counts.length;
  const says = [
    `mean ${format.precise(mean)}`,
    `standard deviation ${format.precise(std)}`,
    ...(zeros > 0 ? [`${format.percent(zeros / n)} zeros`] : []),
  ].join(", ");
  return (
    <figure>
      <figcaption>
        <code>{layer}</code> {format.shape(shape)}: {format.plural(n, "weight")}, {says}
      </figcaption>
      <svg
        class="plot histogram"
        viewBox={`0 0 ${width} ${height + 20}`}
        role="img"
        aria-label={`Histogram of ${layer}: ${says}`}
      >
        {counts.map((count, i) => (
          <rect
            key={i}
            class="bar"
            x={i * step + 0.5}
            width={step - 1}
            y={height * (1 - count / most)}
            height={(height * count) / most}
          />
        ))}
        <text class="soft" x={0} y={height + 15}>
          {format.precise(low)}
        </text>
        <text class="soft end" x={width} y={height + 15}>
          {format.precise(high)}
        </text>
      </svg>
    </figure>
  );
}
