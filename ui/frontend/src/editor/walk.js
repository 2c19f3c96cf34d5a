// Ways through the graph and over the canvas, without the canvas.
const STEP = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
export const stepOf = (key) => STEP[key];

// The nearest box in a direction; what lies aside counts double. Without a start the first box.
export function nearest(nodes, at, key) {
  if (!nodes.length) return null;
  if (!at) return nodes.reduce((a, b) => (a.position.x + a.position.y <= b.position.x + b.position.y ? a : b));
  const [dx, dy] = STEP[key];
  let best = null;
  let least = Infinity;
  for (const node of nodes) {
    if (node.id === at.id) continue;
    const x = node.position.x - at.position.x;
    const y = node.position.y - at.position.y;
    const ahead = x * dx + y * dy;
    if (ahead <= 0) continue;
    const cost = ahead + 2 * Math.abs(x * dy + y * dx);
    if (cost < least) { least = cost; best = node; }
  }
  return best;
}

// Everything that is upstream (-1), downstream (1) or either way (0) of some nodes, they included.
export function along(wires, ids, way) {
  const found = new Set(ids);
  const waiting = [...ids];
  while (waiting.length) {
    const id = waiting.pop();
    for (const w of Object.values(wires)) {
      const next = [];
      if (way >= 0 && w.source === id) next.push(w.target);
      if (way <= 0 && w.target === id) next.push(w.source);
      for (const n of next) if (!found.has(n)) { found.add(n); waiting.push(n); }
    }
  }
  return [...found];
}

// Where boxes go when they are aligned; boxes are {id, x, y}, all of one size.
export function aligned(boxes, how) {
  const pos = {};
  const put = (axis, of) => boxes.forEach((b) => { pos[b.id] = axis === 'x' ? [of(b), b.y] : [b.x, of(b)]; });
  const all = (axis) => boxes.map((b) => b[axis]);
  const spread = (axis) => {
    const sorted = [...boxes].sort((a, b) => a[axis] - b[axis]);
    const first = sorted[0][axis];
    const gap = (sorted.at(-1)[axis] - first) / Math.max(sorted.length - 1, 1);
    const place = new Map(sorted.map((b, i) => [b.id, first + i * gap]));
    put(axis, (b) => place.get(b.id));
  };
  const mid = (axis) => (Math.min(...all(axis)) + Math.max(...all(axis))) / 2;
  if (how === 'L') put('x', () => Math.min(...all('x')));
  if (how === 'R') put('x', () => Math.max(...all('x')));
  if (how === 'T') put('y', () => Math.min(...all('y')));
  if (how === 'B') put('y', () => Math.max(...all('y')));
  if (how === 'C') put('x', () => mid('x'));
  if (how === 'M') put('y', () => mid('y'));
  if (how === 'H') spread('x');
  if (how === 'V') spread('y');
  return pos;
}
