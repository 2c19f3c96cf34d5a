// What is known of every tag: unit, range, and how often it has a value. Read once for a page.
import { shallowRef } from 'vue';
import { get } from '../lib/api.js';

const KEPT_MS = 60_000;
export const facts = shallowRef(new Map());
let asked = null;
let at = -Infinity;

// Rows since the start tell how often a tag has a value: a door that moved twice today is not
// stale after a minute, a pressure that came five times a second is after ten seconds.
export function loadTags(again = false) {
  if (!asked || again || performance.now() - at > KEPT_MS) {
    at = performance.now();
    asked = Promise.all([
      get('/api/tags', { background: true }), get('/api/status', { background: true }),
    ]).then(([rows, status]) => {
      facts.value = new Map(rows.map((row) => [row.tag, {
        ...row, interval_s: status.uptime_s / Math.max(row.rows, 1),
      }]));
      return facts.value;
    }).catch((error) => { asked = null; throw error; });
  }
  return asked;
}

export const factsOf = (tag) => facts.value.get(tag) || {};
export const staleAfter = (tag) => Math.max(10, 5 * (factsOf(tag).interval_s || 60));

// plant/press1/hydraulics/pressure -> pressure; the parent when that is needed to tell it apart.
export function shortName(tag, others = []) {
  const parts = tag.split('/');
  for (let n = 1; n < parts.length; n += 1) {
    const tail = parts.slice(-n).join('/');
    if (!others.some((one) => one !== tag && one.split('/').slice(-n).join('/') === tail)) return tail;
  }
  return tag;
}

// Levels of the plant: site, area, line, asset. A derived tag (x#mean) is where its parent is.
export const levelsOf = (tag) => tag.split('#')[0].split('/').slice(0, -1).slice(0, 4);
