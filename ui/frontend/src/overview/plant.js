// The plant as a tree of the first parts of tag names, with what is wrong in each part.
import { levelsOf } from '../trend/tags.js';

const STALE_S = 10;
const DEPTH = 4;

function part(path, name) {
  return { path, name, tags: 0, good: 0, uncertain: 0, bad: 0, stale: 0, none: 0, parts: new Map(), own: [], alarms: { urgent: 0, high: 0, medium: 0, low: 0 }, open: 0 };
}

// rows: those of /api/tags. One pass over all tags; 10,000 of them take some milliseconds.
export function plantOf(rows, now, uptime_s) {
  const root = part('', '');
  for (const row of rows) {
    const age = (now - row.ts / 1e6) / 1000;
    const isStale = row.ts && age > Math.max(STALE_S, (5 * uptime_s) / Math.max(row.rows, 1));
    const q = row.quality;
    const state = !row.ts ? 'none' : q.startsWith('Bad') ? 'bad' : isStale ? 'stale' : q.startsWith('Unc') ? 'uncertain' : 'good';
    let here = root;
    here.tags += 1; here[state] += 1;
    const levels = levelsOf(row.tag);
    for (let i = 0; i < levels.length && i < DEPTH; i += 1) {
      let next = here.parts.get(levels[i]);
      if (!next) { next = part(here.path + levels[i] + '/', levels[i]); here.parts.set(levels[i], next); }
      here = next;
      here.tags += 1; here[state] += 1;
    }
    here.own.push(row.tag);
  }
  return root;
}

// Adds the open alarms to each part whose tags they are of; one that is of no tag is the root's.
export function withAlarms(root, alarms) {
  const clear = (one) => { one.alarms = { urgent: 0, high: 0, medium: 0, low: 0 }; one.open = 0; one.parts.forEach(clear); };
  clear(root);
  for (const row of alarms) {
    if (row.hidden) continue;
    let here = root;
    here.alarms[row.priority] += 1; here.open += 1;
    for (const level of levelsOf(row.tag || '')) {
      here = here.parts.get(level);
      if (!here) break;
      here.alarms[row.priority] += 1; here.open += 1;
    }
  }
  return root;
}

export function at(root, path) {
  let here = root;
  for (const level of path.split('/').filter(Boolean)) { here = here.parts.get(level); if (!here) return null; }
  return here;
}

// A chain of single parts is one step: plant / press1 is where there is something to choose.
export function skipped(root) {
  let here = root;
  while (here.parts.size === 1 && !here.own.length) [here] = here.parts.values();
  return here;
}

// The worst of a part, for its lamp: {grade, words key}.
export function worst(one) {
  if (one.alarms.urgent) return 'urgent';
  if (one.alarms.high) return 'high';
  if (one.bad) return 'bad';
  if (one.alarms.medium) return 'medium';
  if (one.stale) return 'stale';
  if (one.uncertain) return 'uncertain';
  if (one.alarms.low) return 'low';
  return one.tags && one.none === one.tags ? 'none' : 'good';
}
