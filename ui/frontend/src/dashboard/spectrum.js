// Paints the bands of a vibration: now as bars, and over time as a waterfall, beside each other
// where there is room, else below each other. The newest row of the waterfall is at the top.
import { number } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { pattern } from '../trend/paint.js';

export const ROWS = 120;
const LABEL = 16;
const GAP = 12;
const WIDE = 1.5; // From this ratio of width and height on both stand beside each other.

const ago = (s) => (s >= 3600 ? t('{n} h ago', { n: number(s / 3600, 2) }) : t('{n} min ago', { n: number(s / 60, 2) }));
const textOf = ({ low, high }) => `${number(low, 3)}–${number(high, 3)}`;

// Where bars and waterfall go: {x, y, w, h} each, in pixels of the canvas; times is the place of
// the words beside the waterfall.
export function places(width, height, ratio, hasWaterfall, times, label = LABEL * ratio) {
  if (!hasWaterfall) return { bars: { x: 0, y: 0, w: width, h: height - label } };
  if (width > WIDE * height) {
    const w = (width - times - GAP * ratio) / 2;
    return { bars: { x: 0, y: 0, w, h: height - label }, fall: { x: w + times + GAP * ratio, y: 0, w, h: height - label } };
  }
  const h = (height - 2 * label - GAP * ratio) / 2;
  return { bars: { x: times, y: 0, w: width - times, h }, fall: { x: times, y: h + label + GAP * ratio, w: width - times, h } };
}

function axis(ctx, box, bands, ratio, palette) {
  const w = box.w / bands.length;
  ctx.textAlign = 'center'; ctx.textBaseline = 'top'; ctx.fillStyle = palette.muted;
  const most = Math.max(...bands.map((band) => ctx.measureText(textOf(band)).width)) + 6 * ratio;
  const step = Math.max(1, Math.ceil(most / w)); // Where not all fit, each second, third …
  bands.forEach((band, i) => {
    if (i % step === 0 && most < box.w) ctx.fillText(textOf(band), Math.min(Math.max(box.x + (i + 0.5) * w, box.x + most / 2), box.x + box.w - most / 2), box.y + box.h + 2 * ratio);
  });
}

function bars(ctx, box, { bands, last, palette, most, ratio }) {
  const w = box.w / bands.length;
  bands.forEach(({ tag }, i) => {
    const sample = last.get(tag);
    const isGood = sample && sample.grade !== 'bad' && sample.value !== null;
    const h = isGood ? (sample.value / most) * (box.h - 4 * ratio) : box.h;
    ctx.fillStyle = isGood ? palette.series[0] : pattern(ctx, palette.bad, 'dense', ratio);
    ctx.fillRect(box.x + i * w + ratio, box.y + box.h - h, Math.max(w - 2 * ratio, ratio), h);
  });
  ctx.fillStyle = palette.muted;
  ctx.fillRect(box.x, box.y + box.h, box.w, ratio);
}

function waterfall(ctx, box, { bands, series, palette, most, ratio, from, to }) {
  const w = box.w / bands.length;
  const h = box.h / ROWS;
  for (let r = 0; r < ROWS; r += 1) {
    const when = to - ((r + 0.5) / ROWS) * (to - from);
    bands.forEach(({ tag }, i) => {
      const s = series.get(tag);
      const j = s ? s.at(when) : -1;
      if (j < 0) return;
      const v = s.max[j];
      if (s.q[j] === 2 || v !== v) ctx.fillStyle = pattern(ctx, palette.bad, 'lines', ratio);
      else { ctx.globalAlpha = 0.06 + 0.94 * Math.min(v / most, 1); ctx.fillStyle = palette.series[0]; }
      ctx.fillRect(box.x + i * w, box.y + r * h, Math.ceil(w), Math.ceil(h));
      ctx.globalAlpha = 1;
    });
  }
  ctx.textAlign = 'right'; ctx.fillStyle = palette.muted;
  ctx.textBaseline = 'top'; ctx.fillText(t('newest'), box.x - 4 * ratio, box.y);
  ctx.textBaseline = 'bottom'; ctx.fillText(ago((to - from) / 1000), box.x - 4 * ratio, box.y + box.h);
}

export function paint(ctx, width, height, view) {
  const { ratio, bands, palette, hasWaterfall, from, to } = view;
  const letters = Math.max(11, parseFloat(getComputedStyle(ctx.canvas).fontSize) * 0.72) * ratio;
  ctx.font = `${letters}px "Noto Sans JP Variable", system-ui, sans-serif`;
  const times = Math.max(ctx.measureText(t('newest')).width, ctx.measureText(ago((to - from) / 1000)).width) + 8 * ratio;
  const found = places(width, height, ratio, hasWaterfall, times, Math.max(LABEL * ratio, letters * 1.5));
  bars(ctx, found.bars, view);
  axis(ctx, found.bars, bands, ratio, palette);
  if (!found.fall) return;
  waterfall(ctx, found.fall, view);
  axis(ctx, found.fall, bands, ratio, palette);
}
