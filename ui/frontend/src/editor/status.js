// Live state on the canvas, written straight into the page: 300 nodes at 5 Hz through Vue's own
// rendering took 86 ms a tick, this way 13. What nobody can see is not written: nodes out of view
// keep their newest state until they come into view, and below a zoom there is no text.
import { number } from '../lib/format.js';
import { t } from '../lib/i18n.js';

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
    full: row.text || '',
    rate: rate(row.rows_s),
    tag: last ? leaf(last[0]) : '',
    value: last ? (last[2] === null ? String(last[3]) : number(last[2], 5)) : '',
    isBad: !!last && typeof last[3] === 'string' && (last[3].startsWith('Bad') || last[3].startsWith('Unc')),
  };
}

export class Status {
  constructor() {
    this.parts = new Map(); // id -> what a node or a wire has registered, with what it shows
    this.rows = new Map(); // id -> the newest row of the gateway
    this.pending = new Set();
    this.isInView = null; // () => (id) => boolean, made once a frame
    this.hasText = true;
    this.frame = 0;
    this.writes = 0;
  }

  register(id, part) {
    this.parts.set(id, part);
    if (this.rows.has(id)) { this.pending.add(id); this.kick(); }
    return () => { if (this.parts.get(id) === part) this.parts.delete(id); };
  }

  take(said) {
    if (said.whole) {
      for (const id of this.parts.keys()) if (!(id in said.nodes) && !(id in said.wires)) this.clear(id);
      this.rows.clear();
    }
    for (const id in said.nodes) { this.rows.set(id, said.nodes[id]); this.pending.add(id); }
    for (const id in said.wires) { this.rows.set(id, said.wires[id]); this.pending.add(id); }
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
    const inView = this.isInView?.();
    for (const id of this.pending) {
      const part = this.parts.get(id);
      if (!part) { this.pending.delete(id); continue; }
      if (inView && !inView(id)) continue;
      part.write(this.rows.get(id), this.hasText);
      this.writes += 1;
      if (this.hasText) this.pending.delete(id);
    }
  }
}

// Writes a text node only where it changes.
export function put(node, text) {
  if (node.data !== text) node.data = text;
}
