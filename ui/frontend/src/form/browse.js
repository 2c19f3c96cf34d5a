// What is found behind a connection, and what becomes of it in a node.
import { post, Refused } from '../lib/api.js';

// "Oil Temp." -> "oil_temp"
export const slug = (text) => text.normalize('NFKC').toLowerCase().replace(/[\s+#]+/g, '_').replace(/[^\p{L}\p{N}_.\-/]/gu, '').replace(/^[_.]+|[_.]+$/g, '') || 'tag';

// Asks the connection that runs where there is one, since some devices talk to one client only.
export async function look({ flow, name, connection }, path) {
  const trial = { type: connection.type, config: connection.config, path };
  if (!connection.runs) return post('/api/connections/browse', trial);
  try {
    return await post('/api/connections/browse', { flow, connection: name, path });
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error;
    return post('/api/connections/browse', trial);
  }
}

// Ways to read a register: [{type, order, value}], the plain one first.
export function readings(found) {
  if (found.kind !== 'register') return [];
  const ways = [{ type: found.type, order: '', value: found.value }];
  if ('int16' in found.facts && found.facts.int16 !== found.value) ways.push({ type: 'int16', order: '', value: found.facts.int16 });
  for (const type of ['float32', 'int32', 'uint32', 'float64']) {
    for (const [order, value] of Object.entries(found.facts[type] || {})) if (value !== null) ways.push({ type, order, value });
  }
  return ways;
}

// A row of the tags of a node, as its own notation allows.
export function rowOf(item, found, way, node) {
  const unitOf = found.facts?.unit;
  const other = found.kind === 'register' && unitOf !== undefined && unitOf !== (node.unit ?? 1) ? `${unitOf}!` : '';
  const address = other + found.address;
  if (item.kind !== 'group') return address;
  const has = new Set(item.fields.map((f) => f.name));
  const row = { [has.has('address') ? 'address' : item.fields[0].name]: address };
  if (way && has.has('type') && !['uint16', 'bool'].includes(way.type)) row.type = way.type;
  if (way?.order && has.has('order') && way.order !== (node.order || 'ABCD')) row.order = way.order;
  if (found.unit && has.has('unit')) row.unit = found.unit;
  return row;
}

// One filter for several topics of the same depth, or nothing.
export function filterOf(topics) {
  const split = topics.map((topic) => topic.split('/'));
  if (split.length < 2 || split.some((parts) => parts.length !== split[0].length)) return '';
  const parts = split[0].map((part, i) => (split.every((one) => one[i] === part) ? part : '+'));
  return parts.every((part) => part === '+') ? '' : parts.join('/');
}
