// Colours for what is drawn on a canvas, out of the variables of the page.
import { addStyle } from '../lib/dom.js';
import css from './trend.css?inline';

addStyle('trend', css);
const NAMES = ['fg', 'muted', 'line', 'panel', 'bg', 'accent', 'ok', 'warn', 'bad', 'off', 'urgent', 'high', 'medium', 'low'];
export const DASHES = [[], [], [], [], [7, 3], [7, 3], [2, 3], [2, 3]];

export function colors() {
  const style = getComputedStyle(document.documentElement);
  const found = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  found.series = Array.from({ length: 8 }, (_, i) => style.getPropertyValue(`--s${i + 1}`).trim());
  return found;
}

// Calls whenever the theme of the page changes; returns a function that ends it.
export function onTheme(handler) {
  const observer = new MutationObserver(handler);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  return () => observer.disconnect();
}
