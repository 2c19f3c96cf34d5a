// The newest sample of every tag that anything on the page shows: one subscription for all.
import { live } from '../lib/live.js';
import { grade, duration } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { staleAfter } from './tags.js';

const HZ = 5;
const TAGS_MAX = 2000; // Of one client (tags_max).

class Values {
  constructor() {
    this.samples = new Map();
    this.watchers = new Map();
    this.timer = 0;
    this.end = null;
    this.asked = '';
  }

  // handler(tag, {ts [ms], value, quality, grade}); returns a function that ends it.
  watch(tags, handler) {
    for (const tag of tags) {
      if (!this.watchers.has(tag)) this.watchers.set(tag, new Set());
      this.watchers.get(tag).add(handler);
      if (this.samples.has(tag)) handler(tag, this.samples.get(tag));
    }
    this.plan();
    return () => {
      for (const tag of tags) {
        const all = this.watchers.get(tag);
        if (!all) continue;
        all.delete(handler);
        if (!all.size) { this.watchers.delete(tag); this.samples.delete(tag); }
      }
      this.plan();
    };
  }

  plan() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.subscribe(), 30);
  }

  subscribe() {
    const tags = [...this.watchers.keys()].sort().slice(0, TAGS_MAX);
    const asked = tags.join('\n');
    if (asked === this.asked) return;
    this.asked = asked;
    const old = this.end;
    this.end = tags.length ? live.subscribe({ tags, hz: HZ }, (said) => this.take(tags, said)) : null;
    old?.();
  }

  take(tags, said) {
    for (const [i, ns, value, quality] of said.rows || []) {
      const sample = { ts: ns / 1e6, value, quality, grade: grade(quality) };
      const tag = tags[i];
      this.samples.set(tag, sample);
      for (const handler of this.watchers.get(tag) || []) handler(tag, sample);
    }
    for (const i of said.unknown || []) {
      const sample = { ts: 0, value: null, quality: 'unknown', grade: 'none' };
      for (const handler of this.watchers.get(tags[i]) || []) handler(tags[i], sample);
    }
  }
}

export const values = (window.genbaValues ||= new Values());

// The gateway's time now [ms]: ages are told by its clock, not by that of a panel.
export const gatewayNow = () => (live.now ? live.now + (performance.now() - live.heard) : Date.now());

const words = (quality) => quality.replace(/^(Bad|Uncertain)_/, '')
  .replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();

// How far a sample can be trusted: {grade: good | uncertain | bad | stale | none, text}.
export function verdict(tag, sample, now = gatewayNow()) {
  if (!sample || sample.grade === 'none') return { grade: 'none', text: t('no such tag yet') };
  if (!sample.ts) return { grade: 'none', text: t('no value yet') };
  const age = (now - sample.ts) / 1000;
  if (!live.isUp && live.now) return { grade: 'stale', text: t('no connection for {age}', { age: duration(Math.max(age, 0)) }) };
  const isOld = age > staleAfter(tag);
  if (sample.grade === 'bad') {
    const why = words(sample.quality);
    return { grade: 'bad', text: isOld ? t('bad: {why}, for {age}', { why, age: duration(age) }) : t('bad: {why}', { why }) };
  }
  if (isOld) return { grade: 'stale', text: t('no data for {age}', { age: duration(age) }) };
  if (sample.grade === 'uncertain') return { grade: 'uncertain', text: t('uncertain: {why}', { why: words(sample.quality) }) };
  return { grade: 'good', text: '' };
}

export const SIGN = { good: '●', uncertain: '◆', bad: '■', stale: '◌', none: '○' };
