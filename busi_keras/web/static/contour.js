// Marching squares: the line along which a map of values crosses a level, between the pixels' centres.

const SIDES = [[], [[3, 2]], [[2, 1]], [[3, 1]], [[1, 0]], [[3, 0], [1, 2]], [[2, 0]], [[3, 0]],
  [[0, 3]], [[0, 2]], [[0, 1], [2, 3]], [[0, 1]], [[1, 3]], [[1, 2]], [[2, 3]], []];

/**
 * @param {Uint8Array} values row by row; outside it is 0.
 * @param {number} width
 * @param {number} height
 * @param {number} level
 * @returns {Path2D} in pixels; the centre of the first pixel is at (0.5, 0.5).
 */
export function contour(values, width, height, level) {
  const path = new Path2D();
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : values[y * width + x]);
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)]; // clockwise from top left
      const kind = 8 * (corners[0] > level) + 4 * (corners[1] > level) + 2 * (corners[2] > level) + (corners[3] > level);
      for (const [from, to] of SIDES[kind]) {
        path.moveTo(...crossing(from, x + 0.5, y + 0.5, corners, level));
        path.lineTo(...crossing(to, x + 0.5, y + 0.5, corners, level));
      }
    }
  }
  return path;
}

/** Where the level crosses a side of a square: 0 top, 1 right, 2 bottom, 3 left. */
function crossing(side, x, y, [topLeft, topRight, bottomRight, bottomLeft], level) {
  const share = (a, b) => (level - a) / (b - a);
  if (side === 0) return [x + share(topLeft, topRight), y];
  if (side === 1) return [x + 1, y + share(topRight, bottomRight)];
  if (side === 2) return [x + share(bottomLeft, bottomRight), y + 1];
  return [x, y + share(topLeft, bottomLeft)];
}
