// Axes of a trend, and its span of time.
import { day, unit } from '../lib/format.js';

const DAY = 86_400_000;

// {from, to} [ms] of what is looked at: a window behind now, or a fixed one.
export function xRange(range, now) {
  if (range.from) return { from: range.from, to: range.to };
  return { from: now - range.window_s * 1000, to: now };
}

const two = (n) => String(n).padStart(2, '0');

// Round times of the day here, however many hours from UTC that is.
function splits(u, axis, low, high, step) {
  const offset = new Date(low).getTimezoneOffset() * 60_000;
  const found = [];
  for (let at = Math.ceil((low - offset) / step) * step + offset; at <= high; at += step) found.push(at);
  return found;
}

// The date stands below the time where it is not today, and at each new day.
function ticks(u, found, axis, space, step) {
  const today = day(Date.now());
  let before = today;
  return found.map((ms) => {
    const when = new Date(ms);
    const date = day(ms);
    const clock = `${two(when.getHours())}:${two(when.getMinutes())}`;
    const tenth = step < 1000 ? `.${Math.floor(when.getMilliseconds() / 100)}` : '';
    const text = step >= DAY ? date.slice(5) : step >= 60_000 ? clock : `${clock}:${two(when.getSeconds())}${tenth}`;
    const isNew = date !== before && step < DAY;
    before = date;
    return isNew ? `${text}\n${date}` : text;
  });
}
const height = (u, found) => ((found || []).some((text) => text.includes('\n')) ? 50 : 32);

const plain = (u, splits) => splits.map((v) => (v === null ? '' : Math.abs(v) >= 1e6 || (v && Math.abs(v) < 1e-3) ? v.toExponential(1) : String(Number(v.toPrecision(7)))));

export function axes(units, palette, colorOf, px) {
  const k = px / 12;
  const font = `${px}px "Noto Sans JP Variable", system-ui, sans-serif`;
  const grid = { stroke: palette.line, width: 1 };
  const x = { stroke: palette.muted, grid, ticks: grid, font, values: ticks, splits, space: 90 * k, size: (u, found) => height(u, found) * k, lineGap: 1.35 };
  const width = (u, found) => Math.max(34, 18 + 7.4 * k * Math.max(0, ...(found || []).map((text) => text.length)));
  const label = (one) => (one.startsWith('#') ? '' : unit(one));
  return [x, ...units.map((one, i) => ({
    scale: `y:${one}`, side: i % 2 ? 1 : 3, stroke: colorOf(one), font, ticks: grid, values: plain, size: width,
    grid: i ? { show: false } : grid, label: label(one), labelSize: label(one) ? 18 * k : 0, labelGap: 0, labelFont: `600 ${font}`, space: 34 * k,
  }))];
}
