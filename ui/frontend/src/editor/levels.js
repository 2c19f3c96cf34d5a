// Levels: the flow itself and the inside of each subflow; and under which ids things run. An
// instance `north` of a subflow runs as its nodes, `north/clean`; a wire to it runs as one to them.
const STEPS_MAX = 32;

export const subflowOf = (type) => (type?.startsWith('subflow.') ? type.slice(8) : '');
export const isLink = (type) => !!type?.startsWith('link.');
export const isPort = (type) => !!type?.startsWith('port.');

export const viewAt = (store, level) => (level ? store.whole.subflows[level] : store.whole);

// The level that an instance shows, by its path; null when there is none.
export function levelAt(store, path) {
  let level = '';
  for (const step of path ? path.split('/') : []) {
    level = subflowOf(viewAt(store, level)?.nodes[step]?.type);
    if (!level || !store.whole.subflows[level]) return null;
  }
  return level;
}

// Where what leaves a port really comes from ('source'), or where what enters it really goes to
// ('target'): [[node, port]] under the ids that run.
export function ends(store, path, node, port, way, steps = 0) {
  const level = steps > STEPS_MAX ? null : levelAt(store, path);
  const row = level === null ? null : viewAt(store, level).nodes[node];
  if (!row) return [];
  const head = path ? `${path}/` : '';
  const follow = (where, of, wires) => Object.values(wires).filter(of)
    .flatMap((w) => (way === 'source' ? ends(store, where, w.source, w.source_port, way, steps + 1) : ends(store, where, w.target, w.target_port, way, steps + 1)));
  const inner = subflowOf(row.type);
  if (inner) {
    const view = viewAt(store, inner);
    if (!view) return [];
    return follow(head + node, (w) => (way === 'source' ? w.target : w.source) === port, view.wires);
  }
  if (isPort(row.type)) {
    if (!path) return [];
    const outer = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '';
    const instance = path.slice(outer ? outer.length + 1 : 0);
    const of = (w) => (way === 'source' ? w.target === instance && w.target_port === node : w.source === instance && w.source_port === node);
    return follow(outer, of, viewAt(store, levelAt(store, outer)).wires);
  }
  return [[head + node, port]];
}

// The ids under which a node of the level that is shown runs.
export function nodeIds(store, path, id) {
  const level = levelAt(store, path);
  const found = [];
  const walk = (at, where, node) => {
    const row = viewAt(store, at)?.nodes[node];
    const inner = subflowOf(row?.type);
    if (inner && where.split('/').length < STEPS_MAX) for (const one of Object.keys(viewAt(store, inner)?.nodes || {})) walk(inner, `${where}/${one}`, one);
    else if (row && !isPort(row.type)) found.push(where);
  };
  if (level !== null) walk(level, path ? `${path}/${id}` : id, id);
  return found;
}

// The ids under which a wire of the level that is shown runs.
export function wireIds(store, path, w) {
  const from = ends(store, path, w.source, w.source_port, 'source');
  const to = ends(store, path, w.target, w.target_port, 'target');
  return from.flatMap(([a, b]) => to.map(([c, d]) => `${a}.${b}>${c}.${d}`));
}

// Where an id that runs stands: {path, level, node}; null when it is not in the file.
export function placeOf(store, id) {
  const cut = id.lastIndexOf('/');
  const path = cut < 0 ? '' : id.slice(0, cut);
  const level = levelAt(store, path);
  const node = id.slice(cut + 1);
  return level !== null && viewAt(store, level).nodes[node] ? { path, level, node } : null;
}

// The other ends of a link: what goes into it and what comes out of it.
export function linkEnds(view, id) {
  const found = { from: [], to: [] };
  for (const w of Object.values(view.wires)) {
    if (w.target === id) found.from.push([w.source, w.source_port]);
    if (w.source === id) found.to.push([w.target, w.target_port]);
  }
  return found;
}

// Whether one subflow would contain itself, were an instance of another put into it.
export function closesRing(store, level, name) {
  if (!level) return false;
  const seen = new Set();
  const waiting = [name];
  while (waiting.length) {
    const one = waiting.pop();
    if (one === level) return true;
    if (seen.has(one)) continue;
    seen.add(one);
    for (const row of Object.values(viewAt(store, one)?.nodes || {})) if (subflowOf(row.type)) waiting.push(subflowOf(row.type));
  }
  return false;
}
