// A trend as a file: CSV of what is drawn, or a picture of it.
import { number, time, unit } from '../lib/format.js';

export function download(name, blob) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const GRADES = ['good', 'uncertain', 'bad'];
// A text that begins like a formula would be run by a spreadsheet (OWASP, CSV injection).
const cell = (text) => `"${(/^[=+\-@\t]/.test(text) ? `'${text}` : text).replace(/"/g, '""')}"`;
const stamp = (ms) => new Date(ms).toISOString().replace(/[:.]/g, '-').slice(0, 19);

export function csvText({ tags, series, from, to, unit: unitOf }) {
  const head = ['time (UTC)', ...tags.flatMap((tag) => { const of = unitOf(tag) ? ` [${unitOf(tag)}]` : ''; return [`${tag}${of}`, `${tag} least`, `${tag} greatest`, `${tag} quality`]; })];
  const at = tags.map((tag) => series.get(tag).find(from));
  const rows = [head.map(cell).join(',')];
  for (;;) {
    let next = Infinity;
    tags.forEach((tag, i) => { const s = series.get(tag); if (at[i] < s.n && s.t[at[i]] < next) next = s.t[at[i]]; });
    if (next > to || next === Infinity) break;
    const cells = [new Date(next).toISOString()];
    tags.forEach((tag, i) => {
      const s = series.get(tag);
      const j = at[i];
      if (j < s.n && s.t[j] === next) {
        cells.push(...[s.last[j], s.min[j], s.max[j]].map((v) => (v === v ? String(v) : '')), GRADES[s.q[j]]);
        at[i] += 1;
      } else cells.push('', '', '', '');
    });
    rows.push(cells.join(','));
  }
  return rows.join('\r\n') + '\r\n';
}

export function saveCsv(look) {
  download(`trend-${stamp(look.from)}.csv`, new Blob(['\ufeff', csvText(look)], { type: 'text/csv;charset=utf-8' }));
}

export function savePng(u, look, palette) {
  const source = u.ctx.canvas;
  const ratio = source.width / u.width;
  const row = 20 * ratio;
  const top = 34 * ratio;
  const made = document.createElement('canvas');
  made.width = source.width;
  made.height = top + source.height + row * look.tags.length + 10 * ratio;
  const ctx = made.getContext('2d');
  ctx.fillStyle = palette.panel;
  ctx.fillRect(0, 0, made.width, made.height);
  ctx.fillStyle = palette.fg;
  ctx.font = `600 ${14 * ratio}px sans-serif`;
  ctx.fillText(`Genba  ${time(look.from, { date: true })} – ${time(look.to, { date: true })}`, 12 * ratio, 22 * ratio);
  ctx.drawImage(source, 0, top);
  ctx.font = `${13 * ratio}px sans-serif`;
  look.tags.forEach((tag, i) => {
    const y = top + source.height + row * (i + 0.7);
    const { min, mean, max } = look.series.get(tag).stats(look.from, look.to);
    ctx.fillStyle = look.color(i);
    ctx.fillRect(12 * ratio, y - 6 * ratio, 24 * ratio, 4 * ratio);
    ctx.fillStyle = palette.fg;
    ctx.fillText(`${tag}   ${number(min)} … ${number(mean)} … ${number(max)} ${unit(look.unit(tag))}`, 44 * ratio, y);
  });
  made.toBlob((blob) => download(`trend-${stamp(look.from)}.png`, blob), 'image/png');
}
