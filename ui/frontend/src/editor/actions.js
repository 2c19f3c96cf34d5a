// Everything that a key, a button or a menu can do, once.
import { get } from '../lib/api.js';
import { t } from '../lib/i18n.js';
import { pieceOf, textOf } from './clip.js';
import { misfit, portsOf } from './fit.js';
import { ANYWHERE, isInForm, isTyping, nameOf, table } from './keys.js';
import { makeLeveled } from './leveled.js';
import { ends, isLink, isPort, linkEnds, subflowOf } from './levels.js';
import { aligned, along, stepOf } from './walk.js';

const CHORD_MS = 1500;

export function makeActions(store, canvas) {
  const flow = canvas.flow;
  const chosen = () => store.selected.value;
  const isAny = () => chosen().nodes.length + chosen().wires.length + chosen().frames.length > 0;
  const leveled = makeLeveled(store, canvas);
  let chord = null;
  let pasted = 0;

  function remove(heal = false) {
    canvas.sendPending();
    const { nodes, wires, frames } = chosen();
    if (isAny()) store.op({ op: 'del', nodes, wires, frames, heal });
  }
  function disable() {
    const ids = chosen().nodes;
    if (ids.length) store.op({ op: 'disable', ids, on: ids.some((id) => !store.view.nodes[id].disabled) });
  }
  function group() {
    if (chosen().nodes.length) store.op({ op: 'group', ids: chosen().nodes, text: '' });
    else store.say(t('Select the nodes that are to be a group.'));
  }
  const ungroup = () => store.op({ op: 'ungroup', ids: [...chosen().frames, ...chosen().nodes] });
  function note(at = null) {
    const [x, y] = canvas.toCanvas(at || canvas.centre());
    store.op({ op: 'note', x, y, text: '', anywhere: !at });
  }
  function form() {
    store.panels.side.value = true;
    store.tab.value = 'node';
    requestAnimationFrame(() => document.querySelector('.ed-form input, .ed-form select, .ed-form textarea')?.focus());
  }
  function align(how) {
    const boxes = chosen().nodes.map((id) => ({ id, x: store.view.nodes[id].x, y: store.view.nodes[id].y }));
    if (boxes.length > 1) store.op({ op: 'move', pos: aligned(boxes, how) });
    else store.say(t('Select two nodes or more.'));
  }
  const walk = (way) => canvas.select(along(store.view.wires, chosen().nodes, way));
  const tidy = () => store.op({ op: 'tidy', ids: chosen().nodes.length > 1 ? chosen().nodes : [] });
  const selectAll = () => flow.addSelectedNodes(flow.getNodes.value.filter((n) => n.type !== 'ghost'));
  const zoomTo = (zoom) => flow.zoomTo(zoom, { duration: 120 });

  // The selected nodes from left to right, each to the next through the first ports that fit.
  function connect() {
    const ids = [...chosen().nodes].sort((a, b) => store.view.nodes[a].x - store.view.nodes[b].x);
    if (ids.length < 2) return store.say(t('Select two nodes or more.'));
    const ops = [];
    for (let i = 0; i + 1 < ids.length; i += 1) {
      const found = firstFit(ids[i], ids[i + 1]);
      if (typeof found === 'string') return store.say(found, 'bad');
      ops.push(found);
    }
    return store.op({ op: 'many', ops });
  }
  function firstFit(source, target) {
    let reason = t('{a} gives nothing that {b} takes.', { a: source, b: target });
    for (const [out] of portsOf(store, source).outputs) {
      for (const [into] of portsOf(store, target).inputs) {
        const why = misfit(store, { source, sourceHandle: out, target, targetHandle: into });
        if (!why) return { op: 'wire', source, source_port: out, target, target_port: into };
        reason = why;
      }
    }
    return reason;
  }

  // ---------------------------------------------------------------- watching
  // What leaves a port of an instance of a subflow is watched where it really comes from.
  function watch(node, port) {
    for (const [id, out] of ends(store, store.path.value, node, port, 'source')) {
      const key = `${id}.${out}`;
      if (!store.taps.has(key)) store.taps.set(key, { node: id, port: out });
    }
    store.tab.value = 'debug';
  }
  function watchAll(id) {
    for (const [port] of portsOf(store, id).outputs) if (port !== 'status') watch(id, port);
    store.panels.side.value = true;
    store.tab.value = 'debug';
  }
  function showConnection(name) {
    flow.removeSelectedElements();
    store.connection.value = name;
    store.panels.side.value = true;
    store.tab.value = 'node';
    setTimeout(() => store.select([name]), 0);
  }
  let looking = false;
  async function lookForOthers() {
    if (looking) return;
    looking = true;
    try { store.rival.value = await store.ask('refresh'); } catch (error) { store.say(error.message, 'bad'); }
    setTimeout(() => { looking = false; }, 3000);
  }

  // ---------------------------------------------------------------- clipboard
  function copied(event) {
    if (isTyping(event) || document.getSelection()?.toString()) return false;
    const { nodes, frames } = chosen();
    if (!nodes.length && !frames.length) return false;
    event.clipboardData.setData('text/plain', textOf(pieceOf(store, nodes, frames)));
    event.preventDefault();
    pasted = 0;
    return true;
  }
  function cut(event) { if (copied(event)) remove(); }
  function paste(event) {
    if (isTyping(event)) return;
    const text = event.clipboardData.getData('text/plain');
    if (!text.trim()) return;
    event.preventDefault();
    pasteText(text);
  }
  function pasteText(text) {
    const [x, y] = canvas.toCanvas(canvas.centre());
    pasted += 1;
    store.op({ op: 'paste', text, x: x - 200 + 30 * pasted, y: y - 100 + 30 * pasted });
  }
  // Without a key there is no clipboard event to fill; a text field that is copied from will do.
  function copyNow() {
    const { nodes, frames } = chosen();
    const area = Object.assign(document.createElement('textarea'), { value: textOf(pieceOf(store, nodes, frames)) });
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
    pasted = 0;
    store.say(t('Copied.'));
  }

  // ---------------------------------------------------------------- menus
  const when = (is, ...items) => (is ? items : []);
  function nodeMenu(id) {
    const row = store.view.nodes[id];
    const card = store.catalogue[row.type];
    const can = store.mayEdit;
    if (isPort(row.type)) return [[t('Settings'), form, 'Enter'], ...when(can, [t('Delete'), () => remove(), 'Del'])];
    const subflow = subflowOf(row.type);
    const link = isLink(row.type) ? linkEnds(store.view, id) : { from: [], to: [] };
    return [
      [t('Settings'), form, 'Enter'],
      ...when(subflow && card, [t('Open the subflow {name}', { name: subflow }), () => leveled.openInstance(id), 'O'], ...when(can, [t('Unpack'), () => store.op({ op: 'unpack', id })])),
      ...link.from.map(([node]) => [t('Go to {node}', { node: `← ${node}` }), () => canvas.reveal(node)]), ...link.to.map(([node]) => [t('Go to {node}', { node: `→ ${node}` }), () => canvas.reveal(node)]),
      ...leveledStreams(id, row),
      ...when(card?.outputs.length, [t('Watch what it gives'), () => watchAll(id)]),
      ...when(store.may.has('flow.inject') && card && card.kind !== 'sink', ...when(!subflow && !store.level.value, [t('Inject…'), () => store.open('inject', { node: id })])),
      [t('Help on {type}', { type: row.type }), () => window.open(subflow ? '/help/flow_file' : `/help/${row.type}`, '_blank', 'noopener')],
      null,
      ...when(can, [row.disabled ? t('Enable') : t('Disable'), disable, 'D'], [row.disabled === 'bypass' ? t('Bypass no more') : t('Bypass'), leveled.bypass, 'B']),
      [t('Copy'), copyNow, 'Ctrl+C'],
      ...when(can, [t('Wire to…'), () => store.open('wire', { node: id })], [t('Delete'), () => remove(), 'Del'], [t('Delete and reconnect'), () => remove(true), 'Ctrl+Del'], null, [t('Group'), group, 'Ctrl+Shift+G'], [t('Ungroup'), ungroup, 'Ctrl+Shift+U'], [t('Make a subflow…'), leveled.gather, 'Ctrl+Shift+S']),
      [t('Select upstream'), () => walk(-1), 'Alt+S U'], [t('Select downstream'), () => walk(1), 'Alt+S D'],
    ];
  }
  const leveledStreams = (id, row) => (row.type.startsWith('flow.') ? leveled.streamEnds(id).map(([other, node]) => [t('Go to {node} in the flow {flow}', { node, flow: other }), () => leveled.jumpToFlow(other, node)]) : []);
  function catchAt(w) {
    const [[node, port] = []] = ends(store, store.path.value, w.source, w.source_port, 'source');
    if (node) store.open('catch', { node, port, carries: w.carries });
    else store.say(t('Nothing runs here: the subflow is used nowhere yet.'), 'bad');
  }
  // The wire becomes two named ends, for parts that stand far from each other.
  function asLink(id) {
    const w = store.view.wires[id];
    const a = store.view.nodes[w.source];
    const b = store.view.nodes[w.target];
    store.op({ op: 'add', type: `link.${w.carries}`, wire: id, x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, anywhere: true });
  }
  function wireMenu(id) {
    const w = store.view.wires[id];
    const isNamed = isLink(store.view.nodes[w.source]?.type) || isLink(store.view.nodes[w.target]?.type);
    return [
      [t('Watch what passes'), () => { store.panels.side.value = true; watch(w.source, w.source_port); }],
      ...when(store.may.has('flow.tap') && store.status.revision, [t('Breakpoint…'), () => catchAt(w)]),
      [t('Go to {node}', { node: `← ${w.source}` }), () => canvas.reveal(w.source)], [t('Go to {node}', { node: `→ ${w.target}` }), () => canvas.reveal(w.target)],
      ...when(store.mayEdit && w.carries && !isNamed, [t('As a link with a name'), () => asLink(id)]),
      ...when(store.mayEdit, [t('Put a node here…'), () => quickOnWire({ edge: { id } })], [t('Delete'), () => store.op({ op: 'del', wires: [id] }), 'Del']),
    ];
  }
  function paneMenu(at) {
    return [
      ...when(store.mayEdit, [t('Add a node…'), () => canvas.quick(at), 'Tab'], [t('Paste…'), () => store.open('import'), 'Ctrl+V'], [t('Comment'), () => note(at), 'Shift+C'], null),
      [t('Select everything'), selectAll, 'Ctrl+A'], [t('Show everything'), () => flow.fitView({ duration: 150, padding: 0.15 }), 'Ctrl+1'],
      ...when(store.mayEdit, [t('Tidy up'), tidy]),
    ];
  }
  function menu(event) {
    const at = { x: event.clientX, y: event.clientY };
    const node = event.target.closest('.vue-flow__node')?.dataset.id;
    const edge = event.target.closest('.vue-flow__edge')?.dataset.id;
    let items = paneMenu(at);
    if (node && store.view.nodes[node]) {
      if (!chosen().nodes.includes(node)) canvas.select([node]);
      items = nodeMenu(node);
    } else if (node && store.view.frames[node]) {
      canvas.select([node]);
      items = when(store.mayEdit, [t('Delete'), () => remove(), 'Del'], [t('Ungroup'), ungroup]);
    } else if (edge) items = wireMenu(edge);
    Object.assign(store.menu, { is: true, x: at.x, y: at.y, items });
  }
  function quickOnWire({ edge }) {
    if (!store.mayEdit) return;
    const w = store.view.wires[edge.id];
    const a = store.view.nodes[w.source];
    const b = store.view.nodes[w.target];
    const at = flow.flowToScreenCoordinate({ x: (a.x + b.x + 190) / 2, y: (a.y + b.y + 62) / 2 });
    canvas.quick(at, { wire: edge.id });
  }

  // ---------------------------------------------------------------- keys
  const DO = {
    ...leveled,
    undo: () => { canvas.sendPending(); store.step('undo'); }, redo: () => store.step('redo'), all: selectAll, delete: () => remove(), heal: () => remove(true), disable, form,
    none: () => { canvas.cancelWire(); store.trace.value = null; store.menu.is = false; store.quick.is = false; flow.removeSelectedElements(); }, group, ungroup, note: () => note(), connect,
    palette: () => { store.panels.palette.value = true; requestAnimationFrame(() => document.querySelector('.pal-search')?.focus()); },
    quick: () => canvas.quick(canvas.centre()), search: () => store.open('search'), help: () => store.open('keys'),
    in: () => flow.zoomIn({ duration: 120 }), out: () => flow.zoomOut({ duration: 120 }), one: () => zoomTo(1), fit: () => flow.fitView({ duration: 150, padding: 0.15 }),
    deploy: () => store.open('deploy'), export: () => store.open('export'), import: () => store.open('import'),
    align: () => { chord = 'align'; setTimeout(() => { chord = null; }, CHORD_MS); },
    walk: () => { chord = 'walk'; setTimeout(() => { chord = null; }, CHORD_MS); },
  };
  const keys = table();
  const WALKS = { U: -1, D: 1, C: 0 };
  function finishChord(name) {
    const which = chord;
    chord = null;
    const letter = name.replace(/^(Alt|Shift)\+/, '').replace(/^(Alt|Shift)\+/, '');
    if (which === 'align' && 'LRTBCMHV'.includes(letter)) align(letter);
    else if (which === 'walk' && letter in WALKS) walk(WALKS[letter]);
  }
  function pressed(event) {
    const name = nameOf(event);
    if (isTyping(event)) {
      if (!ANYWHERE.has(keys.get(name)) || !isInForm(event)) return;
      event.target.blur(); // What was typed last counts.
    }
    if (chord && !['Alt', 'Shift', 'Control', 'Meta'].includes(event.key)) { event.preventDefault(); finishChord(name); return; }
    const what = keys.get(name);
    if (!what) return;
    // Tab goes from node to node as everywhere; it adds one only from the bare canvas.
    if (what === 'quick' && !(document.activeElement === document.body || document.activeElement?.classList.contains('ed-stage'))) return;
    // Enter on a button is the button's.
    if (what === 'form' && event.target.closest?.('button, a, summary')) return;
    event.preventDefault();
    const [dx, dy] = stepOf(event.key) || [0, 0];
    if (what === 'near') canvas.near(event.key);
    else if (what === 'nudge') store.mayEdit && canvas.nudge(dx * 10, dy * 10);
    else if (what === 'shove') store.mayEdit && canvas.nudge(dx * 50, dy * 50);
    else DO[what]?.();
  }
  function listen() {
    const on = { keydown: pressed, copy: copied, cut, paste };
    for (const [name, hear] of Object.entries(on)) document.addEventListener(name, hear);
    return () => { for (const [name, hear] of Object.entries(on)) document.removeEventListener(name, hear); };
  }

  return { ...DO, form, align, tidy, connect, walk, remove, watch, watchAll, showConnection, lookForOthers, menu, quickOnWire, pasteText, copyNow, listen, firstFit, job: (id) => get(`/api/jobs/${encodeURIComponent(id)}`, { background: true }) };
}
