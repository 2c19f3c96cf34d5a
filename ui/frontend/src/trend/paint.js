// Draws the points of a trend on uPlot's canvas: lines, bands between least and greatest,
// hatched gaps, quality strips and alarms. At most some strokes for each column of pixels,
// however many points there are.
const PRIORITY = { urgent: '▲', high: '◆', medium: '■', low: '●' };
const STRIP = 7;

// Least, greatest, first and last of each column: what is drawn in one needs no more.
// Source: Jugel et al., "M4", VLDB 2014.
export function line(ctx, u, series, scale, { from, to, shift = 0, isStep = false, color, dash, width, band }) {
  const { t, min, max, last } = series;
  const start = Math.max(series.find(from - shift) - 1, 0);
  const end = Math.min(series.find(to - shift) + 1, series.n);
  if (end <= start) return 0;
  const X = (time) => u.valToPos(time + shift, 'x', true);
  const x0 = X(0);
  const per = X(1e9) - x0; // Pixels for 1e9 ms; positions are linear, so two of them do.
  const sy = u.scales[scale];
  const { top, height } = u.bbox;
  const ky = height / (sy.max - sy.min);
  const Y = (v) => top + (sy.max - v) * ky;
  const path = new Path2D();
  const upper = [];
  const lower = [];
  const area = new Path2D();
  let isDown = false;
  let before = NaN;
  let column = NaN;
  let low = 0; let high = 0; let first = 0; let final = 0;
  const closeBand = () => {
    if (band && upper.length > 1) {
      area.moveTo(upper[0][0], upper[0][1]);
      for (const [x, y] of upper) area.lineTo(x, y);
      for (let i = lower.length - 1; i >= 0; i -= 1) area.lineTo(lower[i][0], lower[i][1]);
      area.closePath();
    }
    upper.length = 0; lower.length = 0;
  };
  const flush = () => {
    if (column !== column) return;
    const yf = Y(first);
    if (!isDown) path.moveTo(column, yf);
    else if (isStep) { path.lineTo(column, Y(before)); path.lineTo(column, yf); } else path.lineTo(column, yf);
    if (high > low && !band) { path.lineTo(column, Y(low)); path.lineTo(column, Y(high)); }
    const yl = Y(final);
    if (yl !== yf || (high > low && !band)) path.lineTo(column, yl);
    upper.push([column, Y(high)]); lower.push([column, Y(low)]);
    isDown = true; before = final; column = NaN;
  };
  for (let i = start; i < end; i += 1) {
    const v = last[i];
    if (v !== v || (isDown && series.isBroken(i))) { // Nothing usable: the line ends here.
      flush();
      if (v !== v && isDown && isStep) path.lineTo(x0 + (t[i] / 1e9) * per, Y(before));
      closeBand(); isDown = false;
      if (v !== v) continue;
    }
    const x = Math.round(x0 + (t[i] / 1e9) * per);
    if (x !== column) {
      flush();
      column = x; low = min[i]; high = max[i]; first = v; final = v;
    } else {
      if (min[i] < low) low = min[i];
      if (max[i] > high) high = max[i];
      final = v;
    }
  }
  flush(); closeBand();
  ctx.save();
  ctx.beginPath(); ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height); ctx.clip();
  if (band) { ctx.globalAlpha = 0.22; ctx.fillStyle = color; ctx.fill(area); ctx.globalAlpha = 1; }
  ctx.strokeStyle = color; ctx.lineWidth = width; ctx.lineJoin = 'round'; ctx.setLineDash(dash || []);
  if (shift) ctx.globalAlpha = 0.42;
  ctx.stroke(path);
  ctx.restore();
  return end - start;
}

const patterns = new Map();
// Diagonal lines for what is missing or bad, dots for what is uncertain: shapes, not only colours.
export function pattern(ctx, color, kind, ratio) {
  const key = `${color} ${kind} ${ratio}`;
  if (!patterns.has(key)) {
    const size = Math.round((kind === 'dots' ? 6 : 8) * ratio);
    const tile = document.createElement('canvas');
    tile.width = tile.height = size;
    const c = tile.getContext('2d');
    c.strokeStyle = c.fillStyle = color;
    if (kind === 'dots') { c.beginPath(); c.arc(size / 2, size / 2, 1.4 * ratio, 0, 7); c.fill(); } else {
      c.lineWidth = (kind === 'dense' ? 2.2 : 1.1) * ratio;
      for (const d of [-size, 0, size]) { c.beginPath(); c.moveTo(d - 1, size + 1); c.lineTo(d + size + 1, -1); c.stroke(); }
    }
    patterns.set(key, ctx.createPattern(tile, 'repeat'));
  }
  return patterns.get(key);
}

function span(u, from, to) {
  const { left, width } = u.bbox;
  const a = Math.max(u.valToPos(from, 'x', true), left);
  const b = Math.min(u.valToPos(to, 'x', true), left + width);
  return b > a || (b === a && b > left) ? [a, Math.max(b - a, 2)] : null;
}

// Times without any data, over the whole height.
export function gaps(ctx, u, list, { from, to, color, ratio }) {
  ctx.save();
  ctx.fillStyle = pattern(ctx, color, 'lines', ratio);
  ctx.globalAlpha = 0.6;
  for (const gap of list) {
    if (gap.to < from || gap.from > to) continue;
    const at = span(u, gap.from, gap.to);
    if (at) ctx.fillRect(at[0], u.bbox.top, at[1], u.bbox.height);
  }
  ctx.restore();
}

// At the bottom a row for each tag that is not good all the time: hatched bad, dotted uncertain.
export function strips(ctx, u, rows, { from, to, end, colors, ratio }) {
  let y = u.bbox.top + u.bbox.height;
  const h = STRIP * ratio;
  ctx.save();
  ctx.font = `700 ${8 * ratio}px sans-serif`; ctx.textBaseline = 'middle'; ctx.textAlign = 'left';
  for (const { series, color } of rows) {
    const lapses = series.lapses(from, to, end);
    if (!lapses.length) continue;
    y -= h + ratio;
    for (const [a, b, grade] of lapses) {
      const at = span(u, a, b);
      if (!at) continue;
      const tone = grade === 2 ? colors.bad : colors.warn;
      ctx.fillStyle = colors.panel; ctx.fillRect(at[0], y, at[1], h);
      ctx.fillStyle = pattern(ctx, tone, grade === 2 ? 'dense' : 'dots', ratio); ctx.fillRect(at[0], y, at[1], h);
      ctx.fillStyle = color; ctx.fillRect(at[0], y, Math.min(at[1], 2.5 * ratio), h);
      if (at[1] > 14 * ratio) {
        ctx.fillStyle = colors.panel; ctx.fillRect(at[0] + 3 * ratio, y, 10 * ratio, h);
        ctx.fillStyle = tone; ctx.fillText(grade === 2 ? '■' : '◆', at[0] + 4 * ratio, y + h / 2);
      }
    }
  }
  ctx.restore();
}

// At the top: when an alarm was active, and what priority it has, by shape.
export function alarms(ctx, u, list, { from, to, end, colors, ratio }) {
  ctx.save();
  ctx.font = `700 ${13 * ratio}px sans-serif`; ctx.textBaseline = 'top'; ctx.textAlign = 'center';
  for (const one of list) {
    const until = one.to || end;
    if (until < from || one.from > to) continue;
    const at = span(u, one.from, until);
    if (!at) continue;
    const tone = colors[one.priority] || colors.low;
    ctx.fillStyle = tone; ctx.globalAlpha = 0.09; ctx.fillRect(at[0], u.bbox.top, at[1], u.bbox.height);
    ctx.globalAlpha = 1; ctx.fillRect(at[0], u.bbox.top, at[1], 3 * ratio);
    if (one.from >= from) {
      const x = u.valToPos(one.from, 'x', true);
      ctx.strokeStyle = colors.panel; ctx.lineWidth = 3 * ratio;
      const sign = PRIORITY[one.priority] || '●';
      ctx.strokeText(sign, x, u.bbox.top + 2 * ratio); ctx.fillText(sign, x, u.bbox.top + 2 * ratio);
    }
  }
  ctx.restore();
}
