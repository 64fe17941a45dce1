/** @file Hypervolume: how much of a space a set of points dominates. */

/**
 * The volume of the union of the boxes from the origin to each point. A point has one coordinate, not
 * negative, for each axis, the larger the better; zero without points.
 *
 * Slices along the last axis (While et al. 2006, "A faster algorithm for calculating hypervolume"):
 * with the points sorted by it, z_1 >= z_2 >= ..., and z after the last point 0,
 *
 *   V(p_1 ... p_n) = sum_i (z_i - z_(i+1)) V(p_1 ... p_i without their last coordinate)
 */
export function hypervolume(points: readonly (readonly number[])[]): number {
  const axis = (points[0]?.length ?? 0) - 1;
  if (axis < 0) return 0;
  if (axis === 0) return points.reduce((most, [x]) => Math.max(most, x), 0);
  const sorted = [...points].sort((a, b) => b[axis] - a[axis]);
  const flat = sorted.map((point) => point.slice(0, axis));
  return sorted.reduce((sum, point, i) => {
    const height = point[axis] - (sorted[i + 1]?.[axis] ?? 0);
    return height === 0 ? sum : sum + height * hypervolume(flat.slice(0, i + 1));
  }, 0);
}
