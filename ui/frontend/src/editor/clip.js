// Copy as text that people can read and other flows, other machines and mails can carry.
export function pieceOf(store, ids, frames) {
  const chosen = new Set(ids);
  const piece = { connections: {}, nodes: {}, wires: [], layout: {} };
  for (const id of ids) {
    const row = store.view.nodes[id];
    if (!row) continue;
    piece.nodes[id] = row.fields;
    piece.layout[id] = [row.x, row.y];
    const name = row.fields.connection;
    if (name && store.view.connections[name]) piece.connections[name] = store.view.connections[name].fields;
  }
  for (const w of Object.values(store.view.wires)) {
    if (chosen.has(w.source) && chosen.has(w.target)) piece.wires.push(`${w.source}.${w.source_port} -> ${w.target}.${w.target_port}`);
  }
  for (const [key, frame] of Object.entries(store.view.frames)) {
    const isWhole = frame.nodes.length && frame.nodes.every((id) => chosen.has(id));
    if (frames.includes(key) || isWhole) piece.layout[key] = frame;
  }
  if (!Object.keys(piece.connections).length) delete piece.connections;
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
