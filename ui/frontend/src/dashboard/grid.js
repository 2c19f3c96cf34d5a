// Moving and sizing on the grid with pointer and keyboard.
import { reactive } from 'vue';
import { clamp, COLUMNS, placed } from './layout.js';

const GAP = 8;
const START_PX = 5;
export const LEAST = [2, 2];

// One cell [px] for a width of the board: as high as it is wide, more or less.
export function cellOf(width) {
  const w = (width + GAP) / COLUMNS;
  return { w, h: Math.min(Math.max(w * 0.72, 34), 110), gap: GAP };
}
export const boxOf = ([x, y, w, h], cell) => ({
  left: `${x * cell.w}px`, top: `${y * cell.h}px`, width: `${w * cell.w - cell.gap}px`, height: `${h * cell.h - cell.gap}px`,
});

// drag: {id, at, places} while something moves. commit(places) when it is let go.
export function useDrag({ cell, places, select, commit }) {
  const drag = reactive({ id: '', at: null, places: null });
  function follow(event, id, next) {
    const start = { x: event.clientX, y: event.clientY };
    const from = places().get(id);
    const target = event.currentTarget;
    let isMoving = false;
    event.preventDefault();
    target.setPointerCapture(event.pointerId);
    const move = (e) => {
      const dx = e.clientX - start.x;
      const dy = e.clientY - start.y;
      if (!isMoving && Math.hypot(dx, dy) < START_PX) return;
      isMoving = true;
      const at = clamp(next(from, Math.round(dx / cell().w), Math.round(dy / cell().h)), LEAST);
      Object.assign(drag, { id, at, places: placed(places(), id, at) });
    };
    const end = (e) => {
      target.removeEventListener('pointermove', move);
      target.removeEventListener('pointerup', end);
      target.removeEventListener('pointercancel', end);
      if (isMoving && e.type === 'pointerup') commit(drag.places);
      Object.assign(drag, { id: '', at: null, places: null });
    };
    target.addEventListener('pointermove', move);
    target.addEventListener('pointerup', end);
    target.addEventListener('pointercancel', end);
  }
  return {
    drag,
    // A finger first chooses a widget, so that a page can still be scrolled by touching one.
    grab(event, id, isSelected) {
      if (event.button) return;
      const isTouch = event.pointerType === 'touch' && !isSelected;
      select(id);
      if (!isTouch) follow(event, id, ([x, y, w, h], dx, dy) => [x + dx, y + dy, w, h]);
    },
    size(event, id) {
      select(id);
      follow(event, id, ([x, y, w, h], dx, dy) => [x, y, Math.min(w + dx, COLUMNS - x), h + dy]);
    },
  };
}

// The place after an arrow key: moved, or sized with Shift; null for another key.
export function arrow(event, [x, y, w, h]) {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!by) return null;
  return event.shiftKey ? clamp([x, y, Math.min(w + by[0], COLUMNS - x), h + by[1]], LEAST) : clamp([x + by[0], y + by[1], w, h], LEAST);
}
