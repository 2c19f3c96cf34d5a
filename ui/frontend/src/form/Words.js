// A sentence in which `words in backticks` stand as code.
import { h } from 'vue';

export default function Words({ text }) {
  return String(text || '').split(/`([^`]+)`/).map((part, i) => (i % 2 ? h('code', { class: 'fm-word' }, part) : part));
}
Words.props = ['text'];
