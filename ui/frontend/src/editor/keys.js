// Node-RED's keys. One table: what the handler does and what the sheet shows are the same.
import { t } from '../lib/i18n.js';

// [keys, what, words]; Mod is Ctrl, or Cmd on a Mac.
export const KEYS = () => [
  [t('Edit'), [
    ['Mod+Z', 'undo', t('Undo')], ['Mod+Y', 'redo', t('Redo')], ['Mod+Shift+Z', 'redo', ''],
    ['Mod+C', '', t('Copy')], ['Mod+X', '', t('Cut')], ['Mod+V', '', t('Paste')],
    ['Mod+A', 'all', t('Select everything')], ['Escape', 'none', t('Select nothing')],
    ['Delete', 'delete', t('Delete')], ['Backspace', 'delete', ''],
    ['Mod+Delete', 'heal', t('Delete and reconnect')], ['Mod+Backspace', 'heal', ''],
    ['D', 'disable', t('Disable or enable')],
    ['Enter', 'form', t('Settings of the selected node')], ['F2', 'form', ''],
    ['Mod+Shift+G', 'group', t('Group')], ['Mod+Shift+U', 'ungroup', t('Ungroup')],
    ['Shift+C', 'note', t('Comment')], ['B', 'bypass', t('Bypass, or not')], ['Mod+Shift+S', 'gather', t('Make the selection a subflow')],
  ]],
  [t('Find and add'), [
    ['/', 'palette', t('Search the palette')], ['Tab', 'quick', t('Add a node by its name (when no node has the focus)')],
    ['Mod+[', 'back', t('The tab before')], ['Mod+]', 'next', t('The next tab')], ['O', 'openSubflow', t('Open the subflow of the selected node')],
    ['Mod+F', 'search', t('Search the flow')], ['?', 'help', t('Shortcuts')],
  ]],
  [t('Move'), [
    ['ArrowLeft', 'near', t('Go to the nearest node')], ['ArrowRight', 'near', ''], ['ArrowUp', 'near', ''], ['ArrowDown', 'near', ''],
    ['Mod+ArrowLeft', 'nudge', t('Move by one step of the grid')], ['Mod+ArrowRight', 'nudge', ''], ['Mod+ArrowUp', 'nudge', ''], ['Mod+ArrowDown', 'nudge', ''],
    ['Shift+ArrowLeft', 'shove', t('Move by five steps')], ['Shift+ArrowRight', 'shove', ''], ['Shift+ArrowUp', 'shove', ''], ['Shift+ArrowDown', 'shove', ''],
    ['Alt+A', 'align', t('Align: then L, R, T, B, C, M, H or V')],
    ['Alt+S', 'walk', t('Select: then U upstream, D downstream, C connected')],
    ['Alt+L', 'connect', t('Wire the selected nodes in a row')],
  ]],
  [t('View'), [
    ['Mod++', 'in', t('Zoom in')], ['Mod+=', 'in', ''], ['Mod+-', 'out', t('Zoom out')], ['Mod+0', 'one', t('Zoom to 100 %')], ['Mod+1', 'fit', t('Show everything')],
  ]],
  [t('Flow'), [
    ['Mod+D', 'deploy', t('Deploy')], ['Mod+S', 'deploy', ''], ['Mod+E', 'export', t('Export as text')], ['Mod+I', 'import', t('Import text')],
  ]],
];

export function nameOf(event) {
  let name = '';
  if (event.ctrlKey || event.metaKey) name += 'Mod+';
  if (event.altKey) name += 'Alt+';
  let key = event.key;
  const isLetter = key.length === 1 && /[a-z]/i.test(key);
  // With Alt some layouts give another character; the key itself counts then.
  if (event.altKey && /^Key[A-Z]$/.test(event.code)) key = event.code.slice(3);
  if (event.shiftKey && (isLetter || key.length > 1)) name += 'Shift+';
  return name + (key.length === 1 ? key.toUpperCase() : key);
}

export const table = () => new Map(KEYS().flatMap(([, rows]) => rows.filter(([, what]) => what).map(([keys, what]) => [keys, what])));

// These mean the same to somebody who is filling a form of the flow in.
export const ANYWHERE = new Set(['deploy']);
export const isInForm = (event) => !event.isComposing && !!event.target?.closest?.('.ed') && !event.target.closest('dialog[open]');

// Typing is never a shortcut, nor is anything while a dialog is open or an input method composes.
export function isTyping(event) {
  const at = event.target;
  if (event.isComposing || event.keyCode === 229) return true;
  return !!at?.closest?.('input, textarea, select, [contenteditable="true"], dialog[open], .sh');
}
