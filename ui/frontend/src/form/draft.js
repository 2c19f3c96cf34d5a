// A line that is being typed. It is sent when it is done (Enter, or leaving it); while it is typed
// it is only looked at. What arrives from elsewhere waits until nobody types here.
import { ref, watch } from 'vue';
import { same } from './words.js';
import { useValue } from './store.js';

export function useDraft(props, { show, parse }) {
  const { form, value, wrong, set, check } = useValue(props);
  const text = ref(show(value.value));
  const isDirty = ref(false);
  let hasFocus = false;
  const refresh = () => { if (!isDirty.value) text.value = show(value.value); };
  watch(value, (now, before) => { if (!same(now, before)) refresh(); });
  watch(form.resets, () => { isDirty.value = false; refresh(); });
  function typed(now) {
    text.value = now;
    isDirty.value = true;
    check(parse(now));
  }
  function done() {
    if (!isDirty.value) return;
    isDirty.value = false;
    const now = parse(text.value);
    if (same(now, value.value) || text.value === show(value.value)) { refresh(); if (wrong.value.length) check(now); form.settle(); return; }
    set(now);
  }
  function leave() { hasFocus = false; done(); if (!isDirty.value && parse(text.value) !== null) tidy(); }
  // "1h" becomes 3600 when it is done, not while it is typed.
  function tidy() { const shown = show(parse(text.value)); if (!hasFocus) text.value = shown; }
  function back() { isDirty.value = false; text.value = show(value.value); check(value.value); form.settle(); }
  const enter = () => { hasFocus = true; };
  function put(now) { text.value = show(now); isDirty.value = false; if (!same(now, value.value)) set(now); }
  return { form, value, wrong, text, isDirty, typed, done, leave, back, enter, put, set, check };
}
