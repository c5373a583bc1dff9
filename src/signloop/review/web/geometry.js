// Boxes (x1, y1, x2, y2; px of the frame) enter, boxes that were moved or sized leave, always inside the frame.

export const LEAST = 3; // px, side of a box

const between = (value, low, high) => Math.min(Math.max(value, low), high);

/** Move a box as far as the frame allows. */
export function moved([x1, y1, x2, y2], dx, dy, width, height) {
  const right = between(dx, -x1, width - x2);
  const down = between(dy, -y1, height - y2);
  return [x1 + right, y1 + down, x2 + right, y2 + down];
}

/** Move some sides of a box; `sides` holds "l", "r", "t", "b". */
export function sized([x1, y1, x2, y2], sides, dx, dy, width, height) {
  return [
    sides.includes("l") ? between(x1 + dx, 0, x2 - LEAST) : x1,
    sides.includes("t") ? between(y1 + dy, 0, y2 - LEAST) : y1,
    sides.includes("r") ? between(x2 + dx, x1 + LEAST, width) : x2,
    sides.includes("b") ? between(y2 + dy, y1 + LEAST, height) : y2,
  ];
}

/** The box between two points. */
export function spanned(a, b, width, height) {
  return [
    between(Math.min(a.x, b.x), 0, width),
    between(Math.min(a.y, b.y), 0, height),
    between(Math.max(a.x, b.x), 0, width),
    between(Math.max(a.y, b.y), 0, height),
  ];
}

/** Sides of a box that are near a point; "" inside of it, null outside. */
export function grip([x1, y1, x2, y2], point, reach) {
  if (point.x < x1 - reach || point.x > x2 + reach || point.y < y1 - reach || point.y > y2 + reach) return null;
  const across = Math.abs(point.x - x1) <= reach ? "l" : Math.abs(point.x - x2) <= reach ? "r" : "";
  const down = Math.abs(point.y - y1) <= reach ? "t" : Math.abs(point.y - y2) <= reach ? "b" : "";
  return across + down;
}

/** The part of a frame to look at: `factor` times the box, in the shape of the screen, not smaller than `least` px. */
export function around([x1, y1, x2, y2], factor, least, frame, shape) {
  const side = Math.max((x2 - x1) * factor, ((y2 - y1) * factor * shape), least);
  return fitted({ x: (x1 + x2) / 2 - side / 2, y: (y1 + y2) / 2 - side / shape / 2, w: side }, frame, shape);
}

/** A part of a frame, kept inside the frame; all of it if it is larger. */
export function fitted({ x, y, w }, frame, shape) {
  const whole = Math.max(frame.width, frame.height * shape);
  const wide = between(w, 24, whole);
  const high = wide / shape;
  const place = (at, size, all) => (size >= all ? (all - size) / 2 : between(at, 0, all - size));
  return { x: place(x, wide, frame.width), y: place(y, high, frame.height), w: wide, h: high };
}
