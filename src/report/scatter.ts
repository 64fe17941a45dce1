/** @file Scatter plot with the Pareto front; smaller x and y are better, and y grows downwards. */
import { el, fragment, type Markup } from "./markup.ts";
import { bentScale, logScale, type Scale } from "./scale.ts";
import { type Anchor, type Box, familyClass, image, label, placeLabels, textWidth } from "./svg.ts";

/** One circle of the plot. */
export interface Point {
  readonly x: number;
  readonly y: number;
  /** The value that the circle's area shows; null draws a small circle. */
  readonly size: number | null;
  /** The label. */
  readonly text: string;
  /** A shorter label for where there is no room, such as the row's number. */
  readonly short: string;
  readonly family: string;
  /** The tooltip. */
  readonly detail: string;
  /** The target of a click, such as "#row-3". */
  readonly href: string | null;
}

/** The points and axes of a plot. */
export interface Scatter {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly points: readonly Point[];
  /** The logarithmic horizontal axis. */
  readonly x: { readonly label: string; format(value: number): string };
  /** The vertical axis, an asinh scale; see `bentScale` for `unit`. */
  readonly y: { readonly label: string; readonly unit: number; format(value: number): string };
  /** Horizontal dashed lines, such as the largest drop that is marked "o". */
  readonly limits: readonly { readonly y: number; readonly text: string }[];
}

/** Size of the image and the rectangle of the plot in it, in px. */
const [width, height] = [560, 430];
const frame: Box = { x: 52, y: 12, width: width - 64, height: height - 58 };
const [right, bottom] = [frame.x + frame.width, frame.y + frame.height];

/** The points on the Pareto front (no other point is smaller in x and y), by ascending x. */
export function frontOf<P extends { readonly x: number; readonly y: number }>(
  points: readonly P[],
): P[] {
  const front: P[] = [];
  for (const point of [...points].sort((a, b) => a.x - b.x || a.y - b.y))
    if (!front.length || point.y < front[front.length - 1].y) front.push(point);
  return front;
}

/** The plot as an SVG element. */
export function scatter(plot: Scatter): Markup {
  const { points, limits } = plot;
  const xs = points.map((p) => p.x);
  const ys = points.map((p) => p.y);
  const x = logScale([Math.min(...xs), Math.max(...xs)], [frame.x, right]);
  const y = bentScale(
    [Math.min(0, ...ys), Math.max(0, ...ys, ...limits.map((l) => l.y))],
    [frame.y, bottom],
    plot.y.unit,
  );
  const largest = Math.max(0, ...points.map((p) => p.size ?? 0));
  const radius = ({ size }: Point) =>
    size === null || !largest ? 4 : 3.5 + 8.5 * Math.sqrt(size / largest);
  const front = frontOf(points);
  // Labels are placed in this order: points on the front first, then small circles before large
  // ones, because it is harder to see which small circle a distant label belongs to.
  const order = [...points].sort(
    (a, b) => Number(front.includes(b)) - Number(front.includes(a)) || radius(a) - radius(b),
  );
  const anchors: Anchor[] = order.map((p) => ({
    x: x.at(p.x),
    y: y.at(p.y),
    radius: radius(p),
    text: p.text,
    short: p.short,
  }));
  const limitBoxes = limits.map(({ y: value, text }) => ({
    x: right - textWidth(text) - 4,
    y: y.at(value) - 15,
    width: textWidth(text) + 4,
    height: 14,
  }));
  const places = placeLabels(anchors, frame, [...limitBoxes, ...frontBoxes(front, x.at, y.at)]);
  return image(
    plot,
    width,
    height,
    x.ticks.map((tick) =>
      fragment(
        el("line", { x1: x.at(tick), x2: x.at(tick), y1: frame.y, y2: bottom, class: "grid" }),
        label(x.at(tick), bottom + 16, plot.x.format(tick), { class: "soft mid" }),
      ),
    ),
    y.ticks.map((tick) =>
      fragment(
        el("line", { x1: frame.x, x2: right, y1: y.at(tick), y2: y.at(tick), class: "grid" }),
        label(frame.x - 7, y.at(tick) + 4, plot.y.format(tick), { class: "soft end" }),
      ),
    ),
    label(frame.x + frame.width / 2, height - 8, plot.x.label, { class: "soft mid" }),
    label(0, 0, plot.y.label, {
      class: "soft mid",
      transform: `translate(12 ${frame.y + frame.height / 2}) rotate(-90)`,
    }),
    limits.map(({ y: value }) =>
      el("line", { x1: frame.x, x2: right, y1: y.at(value), y2: y.at(value), class: "limit" }),
    ),
    el("path", { class: "front", d: staircase(front, x.at, y.at) }),
    order.map((point, i) => {
      const place = places[i];
      if (!place?.leader) return null;
      const { box } = place;
      const end = [
        Math.min(Math.max(anchors[i].x, box.x), box.x + box.width),
        Math.min(Math.max(anchors[i].y, box.y), box.y + box.height),
      ];
      const ends = { x1: anchors[i].x, y1: anchors[i].y, x2: end[0], y2: end[1] };
      return el("line", { ...ends, class: `leader ${familyClass(point.family)}` });
    }),
    // Large circles are drawn first, so that small ones stay visible on top of them.
    [...order]
      .sort((a, b) => radius(b) - radius(a))
      .map((point) => {
        const circle = el(
          "circle",
          {
            cx: x.at(point.x),
            cy: y.at(point.y),
            r: radius(point),
            class: `${familyClass(point.family)}${front.includes(point) ? " best" : ""}`,
          },
          el("title", {}, point.detail),
        );
        return point.href ? el("a", { href: point.href }, circle) : circle;
      }),
    limits.map(({ y: value, text }) =>
      label(right - 3, y.at(value) - 4, text, { class: "name soft end" }),
    ),
    places.map((place) =>
      place
        ? label(place.box.x, place.box.y + place.box.height - 4, place.text, { class: "name" })
        : null,
    ),
  );
}

/** The corners of the front's staircase, from the bottom edge to the right edge, in px. */
function corners(front: readonly Point[], x: Scale["at"], y: Scale["at"]): [number, number][] {
  return front.flatMap((point, i): [number, number][] => [
    [x(point.x), i ? y(front[i - 1].y) : bottom],
    [x(point.x), y(point.y)],
    ...(i === front.length - 1 ? [[right, y(point.y)] as [number, number]] : []),
  ]);
}

/** The staircase as the data of an SVG path. */
function staircase(front: readonly Point[], x: Scale["at"], y: Scale["at"]): string {
  const px = corners(front, x, y).map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`);
  return px.length ? `M${px.join("L")}` : "";
}

/** The staircase as boxes which labels must not cover. */
function frontBoxes(front: readonly Point[], x: Scale["at"], y: Scale["at"]): Box[] {
  const all = corners(front, x, y);
  return all.slice(1).map(([x1, y1], i) => {
    const [x0, y0] = all[i];
    return {
      x: Math.min(x0, x1) - 1,
      y: Math.min(y0, y1) - 1,
      width: Math.abs(x1 - x0) + 2,
      height: Math.abs(y1 - y0) + 2,
    };
  });
}
