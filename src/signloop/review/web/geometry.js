// Boxes (x1, y1, x2, y2; px of the frame) enter, boxes that were moved or sized leave, always inside the frame.

export const LEAST = 3; // px, side of a box
const EDGE = 1; // px, as in questions.py
const LINES = 6; // that a label can be away from its box

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

/** Whether the edge of the frame may cut what is in a box. */
export const isCut = ([x1, y1, x2, y2], { width, height }) => Math.min(x1, y1, width - x2, height - y2) < EDGE;

/** Which of some boxes are under a point, the smallest first; places in the list. */
export function under(boxes, { x, y }) {
  const area = (k) => (boxes[k][2] - boxes[k][0]) * (boxes[k][3] - boxes[k][1]);
  const holds = ([x1, y1, x2, y2]) => x1 <= x && x <= x2 && y1 <= y && y <= y2;
  return [...boxes.keys()].filter((k) => holds(boxes[k])).sort((a, b) => area(a) - area(b));
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

/** Sides of a box that are near a point; "" inside of it, null outside. A small box keeps a middle to move it by. */
export function grip([x1, y1, x2, y2], point, reach) {
  if (point.x < x1 - reach || point.x > x2 + reach || point.y < y1 - reach || point.y > y2 + reach) return null;
  const side = (at, low, high, [first, second]) => {
    const inner = Math.min(reach, (high - low) / 3);
    return at <= low + inner ? first : at >= high - inner ? second : "";
  };
  return side(point.x, x1, x2, "lr") + side(point.y, y1, y2, "tb");
}

/**
 * Where the labels of boxes go: {x, y}, their upper left corners; null for a box that is out of sight. Each is beside its box and inside
 * the area {x, y, w, h}, over no other label and over no box, as far as there is room. `sizes`: {w, h}; `others`: boxes without a label.
 */
export function beside(boxes, sizes, area, gap, others = []) {
  const taken = [];
  return boxes.map((box, k) => {
    const { w, h } = sizes[k];
    if (box[0] >= area.x + area.w || box[2] <= area.x || box[1] >= area.y + area.h || box[3] <= area.y) return null;
    const foreign = boxes.filter((one) => one !== box);
    let best = null;
    for (const [far, x, y] of places(box, w, h, gap)) {
      const left = between(x, area.x, area.x + area.w - w);
      const top = between(y, area.y, area.y + area.h - h);
      const label = [left, top, left + w, top + h];
      const cost = far + 1000 * covered(label, taken, 0) + 10 * covered(label, [...boxes, ...others], 0) + covered(label, foreign, 4 * gap);
      if (!best || cost < best.cost) best = { cost, label };
      if (best.cost <= far) break; // all others are as far or farther
    }
    taken.push(best.label);
    return { x: best.label[0], y: best.label[1] };
  });
}

/** Places for a label, [how far, x, y], the nearest first: over and under the box, at its sides, and the same some lines away. */
function* places([x1, y1, x2, y2], w, h, gap) {
  for (let line = 0; line < LINES; line++) {
    for (const x of [x1, x2 - w]) yield* [[line, x, y1 - gap - h * (line + 1)], [line, x, y2 + gap + h * line]];
    for (const x of [x2 + gap, x1 - gap - w]) {
      for (const y of line ? [y1 - h * line, y2 - h + h * line] : [(y1 + y2 - h) / 2, y1, y2 - h]) yield [line + 0.5, x, y];
    }
  }
}

/** How much a label covers of others, and how many it comes nearer to than `near`. */
function covered([x1, y1, x2, y2], others, near) {
  return others.reduce((sum, other) => {
    const wide = Math.min(x2, other[2]) - Math.max(x1, other[0]);
    const high = Math.min(y2, other[3]) - Math.max(y1, other[1]);
    const share = (Math.max(0, wide) * Math.max(0, high)) / ((x2 - x1) * (y2 - y1));
    return sum + (wide > -near && high > -near ? 1 + share : 0);
  }, 0);
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
