// What the parts of the editor share. The graph in here is what Python said last; nothing but
// `hear` changes it, except where a box is while it is being dragged.
import { inject, provide, reactive, ref, shallowReactive, shallowRef } from 'vue';
import { t } from '../lib/i18n.js';
import { Status } from './status.js';

const KEY = Symbol('editor');

export function makeStore(props, emit) {
  const asked = new Map();
  let count = 0;
  const view = { nodes: {}, wires: {}, frames: {}, connections: {}, ghosts: {}, head: {} };
  const store = {
    flow: props.flow,
    catalogue: props.catalogue,
    categories: props.categories,
    may: new Set(props.may),
    actor: props.actor,
    view, // plain: the canvas is told by `watchers`, so that 300 nodes need no proxies
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
    const notice = { id: ++count, text, kind };
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
    emit('op', op);
  };
  store.step = (which) => emit('step', which);
  store.select = (ids) => emit('select', ids);
  store.ask = (what, args = {}) => new Promise((resolve, reject) => {
    const id = ++count;
    asked.set(id, [resolve, reject]);
    emit('ask', { id, what, args });
    setTimeout(() => {
      if (asked.delete(id)) reject(new Error(t('No answer for a minute. Reload the page.')));
    }, 60_000);
  });
  store.answer = (id, isGood, values) => {
    const [resolve, reject] = asked.get(id) || [];
    asked.delete(id);
    if (isGood) resolve?.(values);
    else reject?.(new Error(values));
  };
  store.open = (name, args = {}) => { store.dialog.name = name; store.dialog.args = args; };

  store.load = (whole) => {
    for (const part in view) view[part] = { ...(whole[part] || {}) };
    store.version.value += 1;
  };
  store.apply = (delta) => {
    for (const part in delta) {
      if (part === 'head') { view.head = delta.head; continue; }
      for (const [id, row] of Object.entries(delta[part])) {
        if (row === null) delete view[part][id];
        else view[part][id] = row;
      }
    }
    store.version.value += 1;
  };
  store.load(props.view);
  provide(KEY, store);
  return store;
}

export const useStore = () => inject(KEY);

// ▲ error, ◆ warning, by node, from lint.
export function problemsOf(store, id) {
  const rows = store.problems.rows.filter((row) => row.node === id);
  if (!rows.length) return null;
  const isError = rows.some((row) => row.severity === 'error');
  return { severity: isError ? 'error' : 'warning', text: rows.map((row) => `${row.text} ${row.hint}`.trim()).join('\n') };
}
