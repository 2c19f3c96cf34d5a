// The one file that knows which library draws the canvas, so that another version is one edit.
export {
  BaseEdge, ConnectionMode, Handle, PanOnScrollMode, Position, SelectionMode, VueFlow,
  getBezierPath, useVueFlow,
} from '@vue-flow/core';
export { MiniMap } from '@vue-flow/minimap';
export { Background } from '@vue-flow/background';
export { default as baseCss } from '@vue-flow/core/dist/style.css?inline';
export { default as minimapCss } from '@vue-flow/minimap/dist/style.css?inline';
