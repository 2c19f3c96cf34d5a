// Whether a wire fits, with the reason in words, while it is being drawn. Python says it again
// when the wire is let go (ui/editor/wires.py), so this only has to be as fast as the pointer.
import { t } from '../lib/i18n.js';
import { closesRing, isPort, subflowOf } from './levels.js';

const WORD = { samples: () => t('samples'), windows: () => t('windows'), alarms: () => t('alarms'), events: () => t('events') };
export const word = (carries) => (WORD[carries] ? WORD[carries]() : t('anything'));

const BRIDGE = {
  'samples>windows': () => t('Put a window node between, such as window.tumbling.'),
  'windows>samples': () => t('Put a feature node between, such as feature.statistics.'),
  'samples>alarms': () => t('Put an alarm node between, such as alarm.limit.'),
  'events>samples': () => t('Put compute.json between.'),
};

// What to put between two that do not fit, in words.
export const bridge = (gives, takes) => BRIDGE[`${gives}>${takes}`]?.() || t('It takes {y}, not {x}: it is not wired.', { x: word(gives), y: word(takes) });

export const wireKey = (c) => `${c.source}.${c.sourceHandle}>${c.target}.${c.targetHandle}`;

// Ports of a node as [name, carries, about]; those of a type unknown here are known by its wires.
export function portsOf(store, id) {
  const row = store.view.nodes[id];
  if (isPort(row?.type)) {
    const own = [[id, row.carries, '']];
    return row.type === 'port.inputs' ? { inputs: [], outputs: own } : { inputs: own, outputs: [] };
  }
  const card = row && store.catalogue[row.type];
  if (card) return { inputs: card.inputs, outputs: card.outputs };
  const inputs = new Set();
  const outputs = new Set();
  for (const w of Object.values(store.view.wires)) {
    if (w.target === id) inputs.add(w.target_port);
    if (w.source === id) outputs.add(w.source_port);
  }
  const rows = (names) => [...names].map((name) => [name, '', '']);
  return { inputs: rows(inputs), outputs: rows(outputs) };
}

export function carriesOf(store, id, port, side) {
  return portsOf(store, id)[side].find(([name]) => name === port)?.[1] ?? '';
}

function reaches(store, start, end) {
  const after = new Map();
  for (const w of Object.values(store.view.wires)) {
    if (!after.has(w.source)) after.set(w.source, []);
    after.get(w.source).push(w.target);
  }
  const seen = new Set();
  const waiting = [start];
  while (waiting.length) {
    const id = waiting.pop();
    if (id === end) return true;
    if (!seen.has(id)) { seen.add(id); waiting.push(...(after.get(id) || [])); }
  }
  return false;
}

// The reason why a connection cannot be; empty when it can.
export function misfit(store, c) {
  if (!c.source || !c.target) return '';
  const gives = carriesOf(store, c.source, c.sourceHandle, 'outputs');
  const takes = carriesOf(store, c.target, c.targetHandle, 'inputs');
  if (gives && takes && gives !== takes) {
    const what = t('{a} gives {x}, but {b} takes {y}.', {
      a: `${c.source}.${c.sourceHandle}`, x: word(gives), b: `${c.target}.${c.targetHandle}`, y: word(takes),
    });
    const between = BRIDGE[`${gives}>${takes}`];
    return between ? `${what} ${between()}` : what;
  }
  if (wireKey(c) in store.view.wires) return t('This wire is there already.');
  if (c.source === c.target || reaches(store, c.target, c.source)) {
    return t('This would close a circle: what {a} gives comes from {b}.', { a: c.source, b: c.target });
  }
  return '';
}

// Node types that can stand at the loose end of a wire.
export function typesFor(store, end) {
  const all = Object.entries(store.catalogue).filter(([type]) => !subflowOf(type) || !closesRing(store, store.level.value, subflowOf(type)));
  if (!end) return all.map(([type]) => type);
  const carries = carriesOf(store, end.node, end.port, end.is_source ? 'outputs' : 'inputs');
  return all
    .filter(([, card]) => (end.is_source ? card.inputs : card.outputs).some(([, c]) => !carries || c === carries))
    .map(([type]) => type);
}
