// Numbers, times and units as people read them.
import { language, t } from './i18n.js';

export function number(value, digits = 6) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) return value.toExponential(Math.max(digits - 3, 1));
  return String(Number(value.toPrecision(digits)));
}

export const unit = (text) => (!text || text === '1' ? '' : text.replace(/[{}]/g, '').replace(/\bCel\b/, '°C'));

export function time(ms, { date = false, seconds = true } = {}) {
  if (!ms) return '';
  const options = { hour: '2-digit', minute: '2-digit', hour12: false };
  if (seconds) options.second = '2-digit';
  const when = new Date(ms);
  const text = when.toLocaleTimeString(language(), options);
  const isToday = when.toDateString() === new Date().toDateString();
  return date || !isToday ? `${day(ms)} ${text}` : text;
}

export function day(ms) {
  const when = new Date(ms);
  const two = (n) => String(n).padStart(2, '0');
  return `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
}

// 95 s -> "1 min 35 s"; a setting of 300 s is "5 min", while what counts up keeps its two parts.
export function duration(seconds, { isExact = false } = {}) {
  const s = Math.max(0, Math.round(seconds));
  if (isExact && s && s % 86400 === 0) return t('{n} d', { n: s / 86400 });
  if (isExact && s && s < 86400 && s % 3600 === 0) return t('{n} h', { n: s / 3600 });
  if (isExact && s && s < 3600 && s % 60 === 0) return t('{n} min', { n: s / 60 });
  if (s < 60) return t('{n} s', { n: s });
  if (s < 3600) return t('{m} min {s} s', { m: Math.floor(s / 60), s: s % 60 });
  if (s < 86400) return t('{h} h {m} min', { h: Math.floor(s / 3600), m: Math.floor((s % 3600) / 60) });
  return t('{d} d {h} h', { d: Math.floor(s / 86400), h: Math.floor((s % 86400) / 3600) });
}

// Good, uncertain or bad, from the name of an OPC UA status code.
export function grade(quality) {
  if (!quality) return 'bad';
  return quality.startsWith('Good') ? 'good' : quality.startsWith('Unc') ? 'uncertain' : 'bad';
}
