import { isPort, subflowOf } from './levels.js';

// A subflow as the flow file has it, with the places of its boxes.
function subflowText(name, one, layout) {
  const nodes = {};
  for (const [id, row] of Object.entries(one.nodes)) {
    layout[`subflow.${name}/${id}`] = [row.x, row.y];
    if (!isPort(row.type)) nodes[id] = row.fields;
  }
  const end = (id, port) => (isPort(one.nodes[id]?.type) ? id : `${id}.${port}`);
  const wires = Object.values(one.wires).map((w) => `${end(w.source, w.source_port)} -> ${end(w.target, w.target_port)}`);
  const { about, parameters, inputs, outputs } = one;
  return { ...(about ? { about } : {}), parameters, inputs, outputs, nodes, wires };
}
function withSubflows(store, piece) {
  const waiting = Object.values(piece.nodes).map((row) => subflowOf(row.type)).filter(Boolean);
  while (waiting.length) {
    const name = waiting.pop();
    const one = store.whole.subflows[name];
    if (!one || piece.subflows[name]) continue;
    piece.subflows[name] = subflowText(name, one, piece.layout);
    for (const row of Object.values(one.nodes)) {
      const link = row.fields.connection;
      if (link && store.whole.connections[link]) piece.connections[link] = store.whole.connections[link].fields;
      if (subflowOf(row.type)) waiting.push(subflowOf(row.type));
    }
  }
}

// Copy as text that people can read and other flows, other machines and mails can carry.
export function pieceOf(store, ids, frames) {
  const chosen = new Set(ids);
  const piece = { connections: {}, subflows: {}, nodes: {}, wires: [], layout: {} };
  for (const id of ids) {
    const row = store.view.nodes[id];
    if (!row || isPort(row.type)) continue;
    piece.nodes[id] = row.fields;
    piece.layout[id] = [row.x, row.y];
    const name = row.fields.connection;
    if (name && store.view.connections[name]) piece.connections[name] = store.view.connections[name].fields;
  }
  withSubflows(store, piece);
  for (const w of Object.values(store.view.wires)) {
    if (isPort(store.view.nodes[w.source]?.type) || isPort(store.view.nodes[w.target]?.type)) continue;
    if (chosen.has(w.source) && chosen.has(w.target)) piece.wires.push(`${w.source}.${w.source_port} -> ${w.target}.${w.target_port}`);
  }
  for (const [key, frame] of Object.entries(store.view.frames)) {
    const isWhole = frame.nodes.length && frame.nodes.every((id) => chosen.has(id));
    if (frames.includes(key) || isWhole) piece.layout[key] = frame;
  }
  for (const part of ['connections', 'subflows']) if (!Object.keys(piece[part]).length) delete piece[part];
  return piece;
}

const short = (value) => JSON.stringify(value);

// JSON that is YAML too, an entry a line.
export function textOf(piece) {
  const parts = [];
  for (const [section, value] of Object.entries(piece)) {
    const rows = Array.isArray(value) ? value.map(short) : Object.entries(value).map(([k, v]) => `${short(k)}: ${short(v)}`);
    const [open, close] = Array.isArray(value) ? '[]' : '{}';
    parts.push(rows.length ? `"${section}": ${open}\n  ${rows.join(',\n  ')}\n${close}` : `"${section}": ${open}${close}`);
  }
  return `{${parts.join(',\n')}}\n`;
}
