// The order of a list under fingers: it stands still while a pointer is down or a dialog is open,
// and changes at most once a second else. What is gone meanwhile stays in its place, dimmed.
import { computed, onBeforeUnmount, ref, watch } from 'vue';

const PACE_MS = 1000;
export const SETTLE_MS = 350;

// wanted: computed rows in the order that would be right; isHeld: a ref.
// Returns the rows to show, how many changes wait, and a function that says whether a touch now
// of an alarm may have been meant for another one that stood there a moment ago.
export function useOrder(wanted, isHeld) {
  const order = ref([]);
  const known = new Map();
  let last = -Infinity;
  let moved = -Infinity;
  let others = new Set(); // those that stand where another one stood before
  let timer = 0;

  function settle() {
    clearTimeout(timer);
    timer = 0;
    if (isHeld.value) return;
    const wait = last + PACE_MS - performance.now();
    if (wait > 0) {
      timer = setTimeout(settle, wait);
      return;
    }
    const next = wanted.value.map((row) => row.alarm);
    if (order.value.some((id, i) => id !== next[i]) && order.value.length) {
      moved = performance.now();
      others = new Set(next.filter((id, i) => id !== order.value[i]));
    }
    last = performance.now();
    order.value = next;
    for (const id of known.keys()) if (!next.includes(id)) known.delete(id);
  }
  watch([wanted, isHeld], settle, { immediate: true });
  onBeforeUnmount(() => clearTimeout(timer));

  const shown = computed(() => {
    const now = new Map(wanted.value.map((row) => [row.alarm, row]));
    for (const [id, row] of now) known.set(id, row);
    return order.value.map((id) => now.get(id) || { ...known.get(id), isGone: true }).filter((row) => row.alarm);
  });
  const waiting = computed(() => {
    const here = new Set(order.value);
    return wanted.value.filter((row) => !here.has(row.alarm)).length;
  });
  // Another list is wanted, not other alarms: it is shown at once.
  function renew() {
    order.value = [];
    known.clear();
    last = -Infinity;
    moved = -Infinity; // Who asked for another list knows that it is another.
    settle();
  }
  return { shown, waiting, renew, justMoved: (id) => performance.now() - moved < SETTLE_MS && others.has(id) };
}
