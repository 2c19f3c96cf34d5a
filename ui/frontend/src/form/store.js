// What the parts of a form share. Values are what Python said last; a control keeps what is being
// typed to itself until it is done, so nothing that arrives throws it away.
import { computed, inject, provide, reactive, ref, shallowRef } from 'vue';
import { get } from '../lib/api.js';
import { live } from '../lib/live.js';
import { t } from '../lib/i18n.js';
import { said as told } from '../lib/said.js';

const KEY = Symbol('form');
const TAGS_AGE_MS = 30_000;
const LIVE_TAGS_MAX = 200;

export function makeStore(props, emit) {
  const asked = new Map();
  let count = 0;
  let checking = 0;
  let typing = null;
  const store = {
    props,
    may: new Set(props.may),
    fields: shallowRef({}),
    wide: shallowRef({}),
    problems: shallowRef([]),
    context: shallowRef({ connections: {}, used_by: [], tags: [], has_outbox: false }),
    resets: ref(0), // a change was refused: controls show what there is
    dialog: reactive({ name: '', args: {} }),
    tags: shallowRef(null), // all tags of the gateway, once somebody needs them
    secrets: shallowRef(null),
    samples: reactive(new Map()), // newest sample of tags that are shown
  };
  store.mayEdit = store.may.has('flow.edit');

  store.hear = (news) => {
    for (const part of ['fields', 'wide', 'problems', 'context']) if (part in news) store[part].value = news[part];
    if (!('problems' in news)) return;
    checking += 1;
    if (typing) store.check(typing.path, typing.value); // what is being typed is wrong all the same
  };
  store.ask = (what, args = {}) => new Promise((resolve, reject) => {
    const id = ++count;
    asked.set(id, [resolve, reject]);
    emit('do', { id, what, args });
    setTimeout(() => { if (asked.delete(id)) reject(new Error(t('No answer for a minute. Reload the page.'))); }, 60_000);
  });
  store.answer = (id, isGood, values) => {
    const [resolve, reject] = asked.get(id) || [];
    asked.delete(id);
    if (isGood) resolve?.(values);
    else reject?.(new Error(told(values)));
  };
  // Do something; what was refused is said by the editor, and the controls go back.
  store.act = async (what, args) => {
    try { return await store.ask(what, args); } catch (error) {
      store.resets.value += 1;
      if (error.message) store.said.value = error.message;
      return undefined;
    }
  };
  store.said = ref('');
  store.set = (path, value) => { store.said.value = ''; typing = null; return store.act('set', { path, value: value ?? null }); };
  store.many = (changes) => { store.said.value = ''; return store.act('many', { changes }); };
  // What would be wrong if a value were so, while it is typed.
  let timer = 0;
  store.check = (path, value) => {
    clearTimeout(timer);
    typing = { path, value };
    const turn = ++checking;
    timer = setTimeout(async () => {
      try {
        const found = await store.ask('check', { path, value: value ?? null });
        if (turn === checking) store.problems.value = found;
      } catch { /* The place is gone; what arrives next says so. */ }
    }, 200);
  };

  // Nothing is being typed any more.
  store.settle = () => { typing = null; };

  // ---------------------------------------------------------------- values and problems
  store.at = (path) => {
    let here = store.fields.value;
    for (let i = 0; i < path.length; i += 1) {
      if (i === 2) here = store.wide.value[path[0]]?.[path[1]] ?? here;
      if (here === null || typeof here !== 'object') return undefined;
      here = here[path[i]];
    }
    return here;
  };
  store.row = (path) => store.wide.value[path[0]]?.[path[1]] ?? store.at(path);
  const starts = (long, short) => short.every((step, i) => String(long[i]) === String(step));
  store.problemsAt = (path) => store.problems.value.filter((row) => row.path.length === path.length && starts(row.path, path));
  store.problemsUnder = (path) => store.problems.value.filter((row) => row.path.length >= path.length && starts(row.path, path));

  // ---------------------------------------------------------------- tags
  let tagsAt = 0;
  store.loadTags = async () => {
    if (tagsAt && performance.now() - tagsAt < TAGS_AGE_MS) return;
    tagsAt = performance.now();
    try { store.tags.value = await get('/api/tags', { background: true }); } catch (error) { store.tags.value ||= []; store.said.value = error.message; }
  };
  store.loadSecrets = async () => {
    if (!store.may.has('secret.list')) { store.secrets.value = []; return; }
    try { store.secrets.value = await get('/api/secrets'); } catch (error) { store.secrets.value ||= []; store.said.value = error.message; }
  };
  // Newest samples of some tags for as long as they are shown. Returns what ends it.
  store.watch = (names) => {
    const wanted = names.slice(0, LIVE_TAGS_MAX);
    if (!wanted.length) return () => {};
    return live.subscribe({ tags: wanted, hz: 2 }, (said) => {
      for (const [i, ts, value, quality] of said.rows || []) store.samples.set(wanted[i], { ts, value, quality });
    });
  };
  store.end = () => clearTimeout(timer);
  provide(KEY, store);
  return store;
}

export const useForm = () => inject(KEY);

// The value at a path, what is wrong with it, and how to change it.
export function useValue(props) {
  const form = useForm();
  return {
    form,
    value: computed(() => form.at(props.path)),
    wrong: computed(() => form.problemsAt(props.path)),
    set: (value) => form.set(props.path, value),
    check: (value) => form.check(props.path, value),
  };
}
