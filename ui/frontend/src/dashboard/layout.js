// Where widgets are on the grid: [column, row, width, height], in cells.
export const COLUMNS = 24;
const ROWS_MAX = 400;

export const overlaps = (a, b) => a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];

export function clamp([x, y, w, h], least = [2, 2]) {
  const width = Math.min(Math.max(w, least[0]), COLUMNS);
  const height = Math.min(Math.max(h, least[1]), 60);
  return [Math.min(Math.max(x, 0), COLUMNS - width), Math.min(Math.max(y, 0), ROWS_MAX - height), width, height];
}

// The places of all widgets when one is moved to a place: what is in its way goes down.
// places: Map id -> [x, y, w, h]; it stays as it is.
export function placed(places, id, at) {
  const found = new Map(places);
  found.set(id, at);
  const fixed = [[id, at]];
  const rest = [...places].filter(([other]) => other !== id).sort(([, a], [, b]) => a[1] - b[1] || a[0] - b[0]);
  for (const [other, place] of rest) {
    let next = place;
    for (let again = true; again;) {
      again = false;
      for (const [, one] of fixed) {
        if (overlaps(next, one)) { next = [next[0], one[1] + one[3], next[2], next[3]]; again = true; }
      }
    }
    found.set(other, next);
    fixed.push([other, next]);
  }
  return found;
}

// The first free place for something of a size, from the top.
export function free(places, w, h) {
  const all = [...places.values()];
  for (let y = 0; y < ROWS_MAX; y += 1) {
    for (let x = 0; x + w <= COLUMNS; x += 1) {
      const at = [x, y, w, h];
      if (!all.some((one) => overlaps(at, one))) return at;
    }
  }
  return [0, 0, w, h];
}

export const rowsOf = (places) => Math.max(0, ...[...places.values()].map(([, y, , h]) => y + h));
