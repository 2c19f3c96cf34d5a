// History of tags from the gateway, which keeps the least and the greatest value of each span.
import { get } from '../lib/api.js';

const NS = 1_000_000;
const numbers = (list) => Float64Array.from(list || [], (v) => (v === null ? NaN : v));

// A status code, its severity, or its name.
function gradeOf(q) {
  if (typeof q === 'string') return q.startsWith('Good') ? 0 : q.startsWith('Unc') ? 1 : 2;
  const severity = q > 3 ? q >>> 30 : q;
  return Math.min(severity, 2);
}

function spans(row) {
  const t = numbers(row.t);
  const last = numbers(row.last);
  return {
    t, last,
    min: row.min ? numbers(row.min) : last,
    max: row.max ? numbers(row.max) : last,
    q: row.q ? Uint8Array.from(row.q, gradeOf) : new Uint8Array(t.length),
    width: row.width_ms || 0,
  };
}

// Whole nanoseconds as text: a JavaScript number cannot hold them exactly.
const ns = (ms) => String(BigInt(Math.round(ms)) * BigInt(NS));

export async function history(tags, from, to, points) {
  const query = new URLSearchParams({
    tags: tags.join(','), from: ns(from), to: ns(to), points: String(Math.round(points)),
  });
  const said = await get(`/api/history?${query}`, { background: true });
  const found = {};
  for (const [tag, row] of Object.entries(said.tags || {})) found[tag] = spans(row);
  const gaps = (said.gaps || []).map((gap) => ({
    from: (gap.from ?? gap.start ?? 0) / NS, to: (gap.to ?? gap.end ?? 0) / NS,
    text: gap.text || gap.cause || '', source: gap.source || '', tags: gap.tags || tags,
  }));
  return { tags: found, gaps, of: (tag) => gaps.filter((gap) => gap.tags.includes(tag)).map((gap) => [gap.from, gap.to]) };
}

const BEGINS = new Set(['raised', 'realarmed']);
const ENDS = new Set(['returned', 'cleared', 'removed']);
const EVENTS_MAX = 2000;
const BY_TAG_MAX = 3; // So many tags are asked for one by one.

// The alarm events of some tags within a window, oldest first.
export async function alarmEvents(tags, from, to) {
  const mine = new Set(tags);
  const asked = tags.length > BY_TAG_MAX ? [''] : tags;
  const pages = await Promise.all(asked.map((tag) => get(`/api/alarms/history?${new URLSearchParams({
    from: ns(from), to: ns(to), limit: EVENTS_MAX, ...(tag ? { tag } : {}),
  })}`, { background: true })));
  const unique = new Map(pages.flat().filter((e) => mine.has(e.tag)).map((e) => [e.id, e]));
  return [...unique.values()].sort((a, b) => a.ts - b.ts || a.id - b.id);
}

// When alarms were active: {alarm, tag, from, to (0: still), priority, text}. One that ends
// without having begun within the window began before it.
export function periods(events, start) {
  const open = new Map();
  const found = [];
  for (const e of events) {
    if (BEGINS.has(e.change) && !open.has(e.alarm)) {
      const period = { alarm: e.alarm, tag: e.tag, from: e.ts / NS, to: 0, priority: e.priority, text: e.reason || e.text };
      open.set(e.alarm, period);
      found.push(period);
    } else if (ENDS.has(e.change)) {
      const period = open.get(e.alarm);
      if (period) period.to = e.ts / NS;
      else if (!found.some((one) => one.alarm === e.alarm)) found.push({ alarm: e.alarm, tag: e.tag, from: start, to: e.ts / NS, priority: e.priority, text: e.reason || e.text });
      open.delete(e.alarm);
    }
  }
  return found;
}

// A live row of an alarm, taken into the periods. True when something changed.
export function takeAlarm(list, row) {
  const isActive = row.state === 'UNACK' || row.state === 'ACKED';
  const raised = row.raised_ts / NS;
  let period = [...list].reverse().find((one) => one.alarm === row.alarm);
  if (isActive && (!period || period.to)) {
    if (period && Math.abs(period.from - raised) < 1) period.to = 0;
    else list.push({ alarm: row.alarm, tag: row.tag, from: raised, to: 0, priority: row.priority, text: row.reason });
    return true;
  }
  if (!isActive && period && !period.to) { period.to = row.ts / NS; return true; }
  return false;
}
