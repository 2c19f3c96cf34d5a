// v-kept="value": a field that says what it holds when it is left (@change), and until then keeps what is
// typed. A bound :value is put back at each redraw, and live values redraw while people type.
const put = (el, value) => { el.value = value ?? ''; };
export const vKept = {
  mounted: (el, { value }) => put(el, value),
  updated(el, { value, oldValue }) {
    if (value !== oldValue || el !== document.activeElement) put(el, value);
  },
};
