// Values as people write them, and back without a loss.
import { duration, number } from '../lib/format.js';
import { t } from '../lib/i18n.js';

const SECONDS = { ms: 0.001, s: 1, sec: 1, min: 60, m: 60, h: 3600, d: 86400, w: 604800 };
const NUMBER = /^[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?$/;

// '1,5' -> 1.5; with the unit s '5 min', '1h 30min'. What is no number stays text: the gateway says what is wrong with it, and ${name} is a variable.
export function parseNumber(text, control) {
  const clean = text.trim().replace(/\u2212/g, '-');
  if (!clean) return null;
  if (NUMBER.test(clean)) return Number(clean.replace(',', '.'));
  if (control.unit === 's') {
    const parts = [...clean.matchAll(/(\d+(?:[.,]\d+)?)\s*(ms|sec|min|s|m|h|d|w)(?![a-z])\s*/gi)];
    if (parts.length && parts.map((p) => p[0]).join('') === clean) {
      return Number(parts.reduce((sum, p) => sum + Number(p[1].replace(',', '.')) * SECONDS[p[2].toLowerCase()], 0).toPrecision(12));
    }
  }
  return clean;
}

export const showNumber = (value) => (value === undefined || value === null ? '' : String(value));

// A length of time in words, where seconds are hard to read.
export function aside(value, control) {
  if (typeof value !== 'number') return '';
  if (control.unit === 's' && value >= 90) return duration(value, { isExact: true });
  if (control.unit === 's' && value > 0 && value < 0.1) return `${number(value * 1000)} ms`;
  if (control.unit === 'bytes' && value >= 10_000) {
    const power = Math.min(Math.floor(Math.log10(value) / 3), 4);
    return `${number(value / 1000 ** power, 4)} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`;
  }
  return Math.abs(value) >= 100_000 ? value.toLocaleString('en') : '';
}

// "more than 0", "0 to 100"
export function bounds({ low, high, open }) {
  const isLow = low !== null && low !== undefined;
  const isHigh = high !== null && high !== undefined;
  if (!isHigh && low === 0) return ''; // goes without saying until it is wrong
  if (isLow && isHigh && !open[0] && !open[1]) return t('{a} to {b}', { a: number(low), b: number(high) });
  const words = [];
  if (isLow) words.push(open[0] ? t('more than {a}', { a: number(low) }) : t('at least {a}', { a: number(low) }));
  if (isHigh) words.push(open[1] ? t('less than {b}', { b: number(high) }) : t('at most {b}', { b: number(high) }));
  return words.join(', ');
}

const ESCAPES = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' };
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u001f\u007f]/;
export const isHidden = (text) => HIDDEN.test(text);
export const escape = (text) => text.replace(/[\u0000-\u001f\u007f\\]/g, (c) => ESCAPES[c] || `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
export const unescape = (text) => text.replace(/\\(x([0-9a-fA-F]{2})|[nrt\\])/g, (all, word, hex) => (hex ? String.fromCharCode(parseInt(hex, 16)) : { n: '\n', r: '\r', t: '\t', '\\': '\\' }[word]));

// Any value as one line: text as it is, all else as JSON; text that would be read as JSON in quotes.
export function showAny(value) {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') return JSON.stringify(value);
  return typeof parseAny(value) === 'string' && value === value.trim() ? value : JSON.stringify(value);
}
export function parseAny(text) {
  const clean = text.trim();
  if (!clean) return null;
  try { return JSON.parse(clean); } catch { return clean; }
}

// A default in a few words.
export function showDefault(control) {
  const value = control.default;
  if (value === null || value === undefined || value === '') return '';
  if (typeof value === 'boolean') return value ? t('on') : t('off');
  if (typeof value === 'number') return [showNumber(value), control.unit].filter(Boolean).join(' ');
  if (typeof value === 'string') return isHidden(value) ? escape(value) : value;
  return Array.isArray(value) ? value.map((v) => (Array.isArray(v) ? v.join('–') : v)).join(', ') : JSON.stringify(value);
}

export const word = (choice) => String(choice).replace(/_/g, ' ');

// A row of a table in a few words, for when it is folded.
export function summary(row) {
  if (row === undefined || row === null) return '';
  if (typeof row !== 'object') return String(row);
  return Object.entries(row).filter(([, v]) => v !== '' && v !== null).map(([k, v]) => (['address', 'type', 'field', 'line', 'order'].includes(k) ? (typeof v === 'string' ? escape(v).replace(/\\\\/g, '\\') : String(v)) : `${k} ${typeof v === 'object' ? '{…}' : v}`)).join(' · ');
}

export const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

// The filter of tags as `pattern_of` in gateway/data/tag.py reads it.
export function matcher(pattern) {
  const plain = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const parts = pattern.split('/');
  const levels = parts.map((part, i) => {
    if (part === '#' && i === parts.length - 1) return '[^]*';
    return part.startsWith('+') ? `[^/#]+${plain(part.slice(1))}` : plain(part);
  });
  const regex = new RegExp(`^${levels.join('/')}$`);
  return (name) => regex.test(name);
}

// Whether choices are so few and short that they stand side by side.
export const few = ({ choices, optional, default: standard }) => choices.length <= 4 && choices.join('').length + 4 * choices.length <= 36 && !(optional && (standard === null || standard === undefined));
