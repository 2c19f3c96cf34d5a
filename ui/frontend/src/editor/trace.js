// Trace: the way of one sample, step by step and on the canvas. The gateway runs a copy of the flow
// for it (POST /api/flows/{flow}/trace), with sinks and workers never made, so nothing is written.
import { post } from '../lib/api.js';
import { number } from '../lib/format.js';
import { live } from '../lib/live.js';
import { ends, placeOf, viewAt } from './levels.js';

// One row of a tap as flow tests write it.
export const notation = (row) => `${row.tag} 0s ${row.value === null ? 'nan' : row.value}${row.quality === 'Good' ? '' : ` ${row.quality}`}`;

// Everything that really takes what leaves a port, as [[node, port]].
export function takers(store, node, port) {
  const place = placeOf(store, node);
  if (!place) return [];
  return Object.values(viewAt(store, place.level).wires)
    .filter((w) => w.source === place.node && w.source_port === port)
    .flatMap((w) => ends(store, place.path, w.target, w.target_port, 'target'));
}
function kindOf(store, id) {
  const place = placeOf(store, id);
  return place ? store.catalogue[viewAt(store, place.level).nodes[place.node].type]?.kind || '' : '';
}

// Everything upstream that brings rows in.
function sources(store, node) {
  const seen = new Set();
  const waiting = [node];
  while (waiting.length) {
    const id = waiting.pop();
    const place = seen.has(id) ? null : placeOf(store, id);
    seen.add(id);
    if (!place) continue;
    for (const w of Object.values(viewAt(store, place.level).wires)) if (w.target === place.node) waiting.push(...ends(store, place.path, w.source, w.source_port, 'source').map(([one]) => one));
  }
  return [...seen].filter((id) => ['source', 'worker'].includes(kindOf(store, id)));
}

const url = (store) => `/api/flows/${encodeURIComponent(store.flow)}/trace`;
const ROWS_MAX = 1000;
const SPARE_ROWS = 5;
const SOURCES_MAX = 3;
const TRIES = 3;
const FIRST_S = 2;

// The way a recorded sample really went: the gateway runs the flow up to it. Null when it is not
// among what was recorded, as when the flow has been deployed anew since.
async function recorded(store, row) {
  if (store.status.changes || store.whole.head.durability === 'memory') return null;
  for (const node of sources(store, row.node).slice(0, SOURCES_MAX)) {
    const found = await among(store, node, row);
    if (found) return found;
  }
  return null;
}

// It is among the newest rows of a source; how many come until they are looked at is known only
// once it was tried.
async function among(store, node, row) {
  const speed = store.live.rows.get(node)?.rows_s || 1;
  let wait = FIRST_S;
  for (let i = 0; i < TRIES; i += 1) {
    const last = Math.min(Math.ceil((Math.max(live.now - row.ts, 0) / 1000 + wait) * speed) + SPARE_ROWS, ROWS_MAX);
    const began = performance.now();
    let found;
    try { found = await post(url(store), { node, last }); } catch { return null; }
    const way = wayOf(found, row);
    if (way) return way;
    // When the first of them is older than the sample, more rows bring nothing.
    if (found.calls.length && found.origin / 1e6 + found.calls[0].at * 1000 < row.ts) return null;
    wait = ((performance.now() - began) / 1000) * 1.2;
  }
  return null;
}

// The calls of the step in which a sample left its port, out of a trace of many rows.
function wayOf(found, row) {
  const isIt = (call) => call.node === row.node && call.gave.some((gave) => gave.port === row.port && holds(gave.text, found.origin, row));
  const at = found.calls.findIndex(isIt);
  if (at < 0) return null;
  const isStart = (call) => call.kind === 'source' || call.kind === 'worker';
  let begin = at;
  while (begin > 0 && !isStart(found.calls[begin])) begin -= 1;
  let end = found.calls.findIndex((call, i) => i > at && isStart(call));
  if (end < 0) end = found.calls.length;
  const zero = (row.ts - found.origin / 1e6) / 1000; // What is shown as 0s is the sample's own time.
  const shown = (call) => ({ ...call, at: call.at - found.calls[begin].at, got: shifted(call.got, zero), gave: call.gave.map((gave) => ({ ...gave, text: shifted(gave.text, zero) })) });
  return { calls: found.calls.slice(begin, end).map(shown), said: found.said };
}

// A text of a flow test at other times.
export const shifted = (text, zero) => text.replace(/(^|[\s|,-])(-?\d+(?:\.\d+)?)s(?=$|[\s|:,-])/gm, (all, before, s) => `${before}${Number((Number(s) - zero).toFixed(6))}s`);

// Whether a text of a flow test has a sample: its tag, and its time to the microsecond.
export function holds(text, origin, row) {
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${row.tag} `)) continue;
    const cells = line.slice(row.tag.length + 1).split('|');
    if (cells.some((cell) => Math.abs(origin / 1e6 + parseFloat(cell.trim()) * 1000 - row.ts) < 0.002)) return true;
  }
  return false;
}

// Follows a sample: as it went, or (mode 'now') once more through the flow as it is now, with what
// timers do within a time. Returns {row, mode, until, calls, nodes, wires, chips, said}.
export async function follow(store, row, mode = 'then', until = '') {
  if (mode === 'then') {
    const found = await recorded(store, row);
    if (found) return { row, mode, until: '', ...found, ...lit(found.calls) };
  }
  const samples = notation(row);
  const first = { at: 0, node: row.node, kind: kindOf(store, row.node), port: '', got: '', gave: [{ port: row.port, text: samples }], error: '' };
  const calls = [first];
  const said = [];
  const isEntry = ['source', 'worker'].includes(first.kind);
  const starts = isEntry ? [[row.node, row.port]] : takers(store, row.node, row.port);
  const more = store.status.changes ? { text: (await store.ask('text')).text } : {};
  for (const [node, port] of starts) {
    if (!isEntry && kindOf(store, node) !== 'transform') {
      calls.push({ at: 0, node, kind: kindOf(store, node), port, got: samples, gave: [], error: '' });
      continue;
    }
    const found = await post(url(store), { node, port, samples, until, ...more });
    // What the source itself gave stands there already.
    calls.push(...found.calls.filter((call) => !(isEntry && call.node === row.node && call.kind === first.kind)));
    said.push(...found.said, ...(found.cut ? [found.cut] : []));
  }
  return { row, mode: 'now', until, calls, said, ...lit(calls) };
}

// Which nodes and wires light up, and what each node says: what it gave last, or got.
function lit(calls) {
  const nodes = new Set(calls.map((call) => call.node));
  const chips = new Map();
  const wires = new Set();
  for (const call of calls) {
    const given = call.gave.at(-1);
    const text = call.error ? '✕' : short(given ? given.text : call.got);
    if (given || call.error || !chips.has(call.node)) chips.set(call.node, { text, isGiven: !!given, isBad: !!call.error || /\b(bad|Bad)/.test(text) });
    for (const { port } of call.gave) for (const other of calls) if (other.got) wires.add(`${call.node}.${port}>${other.node}.${other.port}`);
  }
  return { nodes, wires, chips };
}

// The value, and its quality where it is not good, out of a line of a flow test.
export function short(text) {
  const line = text.trim().split('\n').at(-1) || '';
  const cell = line.split('|').at(-1).trim().split(/\s+/);
  const [value, quality] = line.includes('|') ? cell.slice(1) : cell.slice(2);
  if (value !== undefined && /^-?(\d|nan|inf)/.test(value) && cell.length <= (line.includes('|') ? 3 : 4)) return quality ? `${number(parseFloat(value))} ${quality}` : number(parseFloat(value));
  const words = line.split(/\s+/).slice(1).join(' ');
  return words.length > 26 ? `${words.slice(0, 25)}…` : words;
}
