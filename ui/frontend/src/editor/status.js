// Live state on the canvas, written straight into the page: 300 nodes at 5 Hz through Vue's own
// rendering took 86 ms a tick, this way 13. What nobody can see is not written: nodes out of view
// keep their newest state until they come into view, and below a zoom there is no text.
import { number } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { said } from '../lib/said.js';

// State of the engine -> [shape, word on the node]. A node that runs says nothing: it is normal.
const STATES = {
  running: ['ok', ''], connected: ['ok', ''], starting: ['idle', 'starting'], disconnected: ['warn', 'not connected'],
  faulted: ['bad', 'stopped by fault'], stopped: ['idle', 'stopped'],
};
export const stateWords = () => [t('starting'), t('not connected'), t('stopped by fault'), t('stopped')];

export function rate(value) {
  if (!value) return '';
  return `${number(value, 3)}/s`;
}

function leaf(name) {
  const parts = name.split('/');
  return parts.slice(-2).join('/');
}

export function nodeRow(row) {
  const [shape, word] = STATES[row.state] || ['idle', row.state];
  const last = row.last;
  return {
    shape: row.errors && shape === 'ok' ? 'warn' : shape,
    text: row.errors ? row.errors === 1 ? t('1 error') : t('{n} errors', { n: row.errors }) : word ? t(word).slice(0, 20) : '',
    full: said(row.text),
    rate: rate(row.rows_s),
    tag: last ? leaf(last[0]) : '',
    value: last ? (last[2] === null ? String(last[3]) : number(last[2], 5)) : '',
    isBad: !!last && typeof last[3] === 'string' && (last[3].startsWith('Bad') || last[3].startsWith('Unc')),
  };
}

const ORDER = ['running', 'connected', 'starting', 'stopped', 'disconnected', 'faulted'];
function worse(a, b) {
  const most = (name) => Math.max(a[name] || 0, b[name] || 0);
  const sum = (name) => (a[name] || 0) + (b[name] || 0);
  const bad = ORDER.indexOf(b.state) > ORDER.indexOf(a.state) ? b : a;
  return { state: bad.state, text: bad.text || a.text || b.text, rows_s: most('rows_s'), errors: sum('errors'), queued: sum('queued'), dropped: sum('dropped') };
}

export class Status {
  constructor() {
    this.parts = new Map(); // id -> what a node or a wire has registered, with what it shows
    this.rows = new Map(); // id -> the newest row of the gateway
    this.pending = new Set();
    this.idsOf = (id) => [id]; // under which ids a node or a wire that is shown runs
    this.ids = new Map(); // the same, remembered
    this.shown = new Map(); // and the other way
    this.isInView = null; // () => (id) => boolean, made once a frame
    this.hasText = true;
    this.frame = 0;
    this.writes = 0;
  }

  register(id, part) {
    this.parts.set(id, part);
    this.note(id);
    if (this.rowOf(id)) { this.pending.add(id); this.kick(); }
    return () => { if (this.parts.get(id) === part) this.parts.delete(id); };
  }

  note(id) {
    const ids = this.idsOf(id);
    this.ids.set(id, ids);
    for (const one of ids) {
      if (!this.shown.has(one)) this.shown.set(one, new Set());
      this.shown.get(one).add(id);
    }
  }

  // The graph has changed, so ids may mean something else.
  forgetIds() { this.isStale = true; }

  learn() {
    if (!this.isStale) return;
    this.isStale = false;
    this.ids.clear();
    this.shown.clear();
    for (const id of this.parts.keys()) { this.note(id); this.pending.add(id); }
  }

  // Another level is shown: what stands there is written anew.
  turn() {
    this.isStale = true;
    for (const id of this.parts.keys()) { this.clear(id); this.pending.add(id); }
    this.kick();
  }

  // What is known of something that is shown; of an instance of a subflow the worst and the most.
  rowOf(id) {
    const ids = this.ids.get(id) || [];
    if (ids.length < 2) return this.rows.get(ids[0]);
    const rows = ids.map((one) => this.rows.get(one)).filter(Boolean);
    return rows.length ? rows.reduce(worse) : undefined;
  }

  take(said) {
    this.learn();
    if (said.whole) {
      const there = (id) => (this.ids.get(id) || []).some((one) => one in said.nodes || one in said.wires);
      for (const id of this.parts.keys()) if (!there(id)) this.clear(id);
      this.rows.clear();
    }
    for (const part of [said.nodes, said.wires]) {
      for (const id in part) {
        this.rows.set(id, part[id]);
        for (const one of this.shown.get(id) || []) this.pending.add(one);
      }
    }
    this.kick();
  }

  clear(id) {
    this.parts.get(id)?.clear?.();
  }

  forgetAll() {
    for (const id of this.parts.keys()) this.clear(id);
    this.rows.clear();
    this.pending.clear();
  }

  kick() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.frame = 0;
    if (document.hidden) return;
    this.learn();
    const inView = this.isInView?.();
    for (const id of this.pending) {
      const part = this.parts.get(id);
      if (!part) { this.pending.delete(id); continue; }
      if (inView && !inView(id)) continue;
      const row = this.rowOf(id);
      if (!row) { this.pending.delete(id); continue; }
      part.write(row, this.hasText);
      this.writes += 1;
      if (this.hasText) this.pending.delete(id);
    }
  }
}

// Writes a text node only where it changes.
export function put(node, text) {
  if (node.data !== text) node.data = text;
}
