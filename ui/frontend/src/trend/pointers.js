// Pan and zoom of a trend: with one finger or Shift and the mouse it is moved, with two fingers
// or Ctrl and the wheel it is zoomed; a drag of the mouse selects (that is uPlot's).
const SPAN_MS_MIN = 1000;
const SPAN_MS_MAX = 400 * 86_400_000;

export function zoomed({ from, to }, center, factor) {
  const width = Math.min(Math.max((to - from) * factor, SPAN_MS_MIN), SPAN_MS_MAX);
  const share = (center - from) / (to - from);
  return { from: center - width * share, to: center + width * (1 - share) };
}
export const moved = ({ from, to }, share) => ({ from: from + (to - from) * share, to: to + (to - from) * share });

export function pointers(u, root, { span, wheel, move }) {
  const over = u.over;
  const held = new Map();
  let start = null;
  const begin = () => { start = { ...span(), points: [...held.values()].map((p) => ({ ...p })) }; root.classList.add('panning'); };
  const box = () => over.getBoundingClientRect();
  over.addEventListener('pointerdown', (event) => {
    if (event.pointerType === 'mouse' && !event.shiftKey && event.button !== 1) return;
    held.set(event.pointerId, { x: event.clientX });
    over.setPointerCapture(event.pointerId);
    begin();
  });
  // uPlot must not select while the trend is moved.
  over.addEventListener('mousedown', (event) => { if (held.size) event.stopImmediatePropagation(); }, { capture: true });
  over.addEventListener('pointermove', (event) => {
    if (!held.has(event.pointerId) || !start) return;
    held.set(event.pointerId, { x: event.clientX });
    const { left, width } = box();
    const now = [...held.values()];
    const value = (x) => start.from + ((x - left) / width) * (start.to - start.from);
    if (now.length === 1) {
      const by = ((start.points[0].x - now[0].x) / width) * (start.to - start.from);
      if (Math.abs(start.points[0].x - now[0].x) > 4) move({ from: start.from + by, to: start.to + by });
    } else if (start.points.length > 1) {
      const before = Math.abs(start.points[0].x - start.points[1].x) || 1;
      const after = Math.abs(now[0].x - now[1].x) || 1;
      move(zoomed(start, value((start.points[0].x + start.points[1].x) / 2), before / after));
    }
  });
  const up = (event) => {
    if (!held.delete(event.pointerId)) return;
    if (held.size) begin(); else { start = null; root.classList.remove('panning'); }
  };
  over.addEventListener('pointerup', up);
  over.addEventListener('pointercancel', up);
  over.addEventListener('wheel', (event) => {
    const isZoom = event.ctrlKey || wheel();
    if (!isZoom && !event.shiftKey) return;
    event.preventDefault();
    const { left, width } = box();
    const { from, to } = span();
    const at = from + ((event.clientX - left) / width) * (to - from);
    if (event.shiftKey) move(moved({ from, to }, Math.sign(event.deltaY || event.deltaX) * 0.1));
    else move(zoomed({ from, to }, at, event.deltaY > 0 ? 1.25 : 0.8));
  }, { passive: false });
}
