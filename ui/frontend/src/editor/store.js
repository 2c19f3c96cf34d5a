// What the parts of the editor share. The graph in here is what Python said last; nothing but
// `hear` changes it, except where a box is while it is being dragged.
import { inject, provide, reactive, ref, shallowReactive, shallowRef } from 'vue';
import { t } from '../lib/i18n.js';
import { said } from '../lib/said.js';
import { nodeIds, viewAt, wireIds } from './levels.js';
import { Status } from './status.js';

const KEY = Symbol('editor');
const LEVEL_PARTS = ['nodes', 'wires', 'frames', 'ghosts'];

export function makeStore(props, emit) {
  const asked = new Map();
  let count = 0;
  const whole = { nodes: {}, wires: {}, frames: {}, connections: {}, ghosts: {}, subflows: {}, head: {} };
  const store = {
    flow: props.flow,
    catalogue: props.catalogue,
    categories: props.categories,
    may: new Set(props.may),
    actor: props.actor,
    whole, // plain: the canvas is told by `watchers`, so that 300 nodes need no proxies
    view: whole, // what the canvas shows of it: the flow itself, or the inside of a subflow
    level: ref(''), // that subflow
    path: ref(''), // the instance of it that is looked into, such as `north`
    tabs: shallowRef([]), // levels that are open beside the flow
    trace: shallowRef(null), // the way of a sample that is lit; see trace.js
    catches: shallowRef([]),
    streams: shallowRef({}),
    library: shallowRef([]),
    testToRun: ref(''),
    version: ref(0), // grows with every change of `view`
    status: reactive({ ...props.status }),
    saved: reactive({ state: 'saved', text: '' }),
    problems: shallowReactive({ rows: [], error: '' }),
    presence: shallowRef([]),
    selected: shallowRef({ nodes: [], wires: [], frames: [] }),
    connection: ref(''),
    rival: shallowRef(null),
    notices: reactive([]),
    refusal: reactive({ text: '', x: 0, y: 0 }),
    dialog: reactive({ name: '', args: {} }),
    tab: ref('node'),
    quick: reactive({ is: false, x: 0, y: 0, at: [0, 0], end: null, wire: '' }),
    menu: reactive({ is: false, x: 0, y: 0, items: [] }),
    taps: shallowReactive(new Map()),
    live: new Status(),
    watchers: new Set(),
    canvas: null, // what the canvas can do; set when it is there
  };
  store.mayEdit = store.may.has('flow.edit');

  store.say = (text, kind = 'info') => {
    const notice = { id: ++count, text: said(text), kind };
    store.notices.push(notice);
    const ms = Math.min(4000 + text.length * 50, 15000);
    setTimeout(() => store.dismiss(notice.id), ms);
  };
  store.dismiss = (id) => {
    const i = store.notices.findIndex((n) => n.id === id);
    if (i >= 0) store.notices.splice(i, 1);
  };
  store.op = (op) => {
    if (!store.mayEdit) return store.say(t('Your account may look at flows, not change them.'), 'bad');
    const here = { ...(store.level.value ? { in: store.level.value } : {}), ...(op.op === 'add' ? { zone: Intl.DateTimeFormat().resolvedOptions().timeZone } : {}) };
    emit('op', { ...here, ...op });
  };
  store.step = (which) => emit('step', which);
  store.select = (ids) => emit('select', { ids, in: store.level.value });
  store.ask = (what, args = {}) => new Promise((resolve, reject) => {
    const id = ++count;
    asked.set(id, [resolve, reject]);
    emit('ask', { id, what, args });
    setTimeout(() => {
      if (asked.delete(id)) reject(new Error(t('No answer for a minute. Reload the page.')));
    }, 75_000); // Longer than the longest job of the gateway may take.
  });
  store.answer = (id, isGood, values) => {
    const [resolve, reject] = asked.get(id) || [];
    asked.delete(id);
    if (isGood) resolve?.(values);
    else reject?.(new Error(said(values)));
  };
  store.open = (name, args = {}) => { store.dialog.name = name; store.dialog.args = args; };

  function cards() {
    for (const type of Object.keys(store.catalogue)) if (type.startsWith('subflow.') && !whole.subflows[type.slice(8)]) delete store.catalogue[type];
    for (const [name, one] of Object.entries(whole.subflows)) {
      const side = (ports) => Object.entries(ports).map(([port, carries]) => [port, carries, '']);
      store.catalogue[`subflow.${name}`] = { family: 'subflow', kind: 'subflow', category: 'subflow', label: name, about: one.about, stage: '', writes: false, inputs: side(one.inputs), outputs: side(one.outputs) };
    }
  }
  // Turns to another level; false when there is no such one.
  store.turn = (level, path) => {
    const found = viewAt(store, level);
    if (!found) return false;
    store.level.value = level;
    store.path.value = path;
    store.view = level ? { ...found, connections: whole.connections, head: whole.head } : whole;
    store.live.turn();
    store.version.value += 1;
    return true;
  };
  store.load = (all) => {
    for (const part in whole) whole[part] = { ...(all[part] || {}) };
    cards();
    if (!store.turn(store.level.value, store.path.value)) store.turn('', '');
    store.tabs.value = store.tabs.value.filter((tab) => whole.subflows[tab.level]);
  };
  // Takes what changed; returns what of it the canvas shows, or null when its level is gone.
  store.apply = (delta) => {
    for (const part in delta) {
      if (part === 'head') { whole.head = delta.head; continue; }
      for (const [id, row] of Object.entries(delta[part])) {
        if (row === null) delete whole[part][id];
        else whole[part][id] = row;
      }
    }
    if (delta.subflows) {
      cards();
      const left = store.tabs.value.filter((tab) => whole.subflows[tab.level]);
      if (left.length !== store.tabs.value.length) store.tabs.value = left;
    }
    store.live.forgetIds();
    const level = store.level.value;
    if (!level) { store.version.value += 1; return delta; }
    const before = store.view;
    const now = whole.subflows[level];
    if (!now) return null;
    store.view = { ...now, connections: whole.connections, head: whole.head };
    store.version.value += 1;
    const shown = {};
    for (const part of LEVEL_PARTS) {
      shown[part] = {};
      for (const id in before[part]) if (!(id in now[part])) shown[part][id] = null;
      for (const id in now[part]) if (JSON.stringify(before[part][id]) !== JSON.stringify(now[part][id])) shown[part][id] = now[part][id];
    }
    return shown;
  };
  store.live.idsOf = (id) => {
    const wire = store.view.wires[id];
    if (!Object.keys(whole.subflows).length) return [id];
    return wire ? wireIds(store, store.path.value, wire) : nodeIds(store, store.path.value, id);
  };
  store.cardOf = (type) => store.catalogue[type];
  store.load(props.view);
  provide(KEY, store);
  return store;
}

export const useStore = () => inject(KEY);

// ▲ error, ◆ warning, by node, from lint.
export function problemsOf(store, id) {
  const inner = store.view.nodes[id]?.type.startsWith('subflow.') ? store.view.nodes[id].type.slice(8) : null;
  const rows = store.problems.rows.filter((row) => (row.node === id && (row.in || '') === store.level.value) || (inner && row.in === inner));
  if (!rows.length) return null;
  const isError = rows.some((row) => row.severity === 'error');
  return { severity: isError ? 'error' : 'warning', text: rows.map((row) => `${said(row.text)} ${said(row.hint)}`.trim()).join('\n') };
}
