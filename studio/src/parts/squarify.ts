/** @file A squarified treemap: Bruls, Huizing and van Wijk 2000, Squarified Treemaps. */

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Divides `whole` among the values, which are >= 0: a box each, in their order, with an area in
 * proportion to the value and sides as equal as they get. A value of 0 gets a box without area.
 */
export function squarify(values: readonly number[], whole: Box): Box[] {
  const sum = values.reduce((all, value) => all + value, 0);
  const empty: Box = { ...whole, width: 0, height: 0 };
  const boxes: Box[] = values.map(() => empty);
  if (sum <= 0) return boxes;
  const scale = (whole.width * whole.height) / sum;
  // The largest come first: a row is closed when another item would make its worst box longer.
  const order = values.map((_, i) => i).filter((i) => values[i] > 0);
  order.sort((a, b) => values[b] - values[a]);
  let free = whole;
  for (let from = 0; from < order.length; ) {
    const side = Math.min(free.width, free.height);
    const areas: number[] = [];
    for (const i of order.slice(from)) {
      const area = values[i] * scale;
      if (areas.length > 0 && worst([...areas, area], side) > worst(areas, side)) break;
      areas.push(area);
    }
    const thick = areas.reduce((all, area) => all + area, 0) / side;
    const isColumn = free.width >= free.height;
    let at = 0;
    for (const [k, area] of areas.entries()) {
      const long = area / thick;
      boxes[order[from + k]] = isColumn
        ? { x: free.x, y: free.y + at, width: thick, height: long }
        : { x: free.x + at, y: free.y, width: long, height: thick };
      at += long;
    }
    free = isColumn
      ? { ...free, x: free.x + thick, width: Math.max(0, free.width - thick) }
      : { ...free, y: free.y + thick, height: Math.max(0, free.height - thick) };
    from += areas.length;
  }
  return boxes;
}

/** The largest ratio of sides among boxes of these areas that stand in one row along `side`. */
function worst(areas: readonly number[], side: number): number {
  const sum = areas.reduce((all, area) => all + area, 0);
  const ratio = (area: number) => {
    const [long, thick] = [(area * side) / sum, sum / side];
    return Math.max(long / thick, thick / long);
  };
  return Math.max(...areas.map(ratio));
}
