// The canvas: keeps Vue Flow's nodes and edges what the store says, and turns what people do with
// the mouse into ops.
import { nextTick, onBeforeUnmount, ref, watch } from 'vue';
import { useVueFlow } from './flow.js';
import { bridge, misfit, portsOf, typesFor, word, carriesOf } from './fit.js';
import { isPort, placeOf } from './levels.js';
import { nearest } from './walk.js';
import { t } from '../lib/i18n.js';

export const WIDTH = 190;
export const HEIGHT = 62;
const GAP = 70; // Between a node and the one that is put behind it.
const FAR = 0.5;
const BLOCK = 0.22;

const isFrame = (id) => id.startsWith('#');
const ghostId = (name) => `-${name}`;

function nodeOf(store, id) {
  const row = store.view.nodes[id];
  const port = isPort(row.type);
  const label = port ? (row.type === 'port.inputs' ? t('Input {name}', { name: id }) : t('Output {name}', { name: id })) : `${id}, ${t(store.catalogue[row.type]?.label || row.type)}`;
  return { id, type: port ? 'port' : 'node', position: { x: row.x, y: row.y }, data: row, ariaLabel: label, connectable: store.mayEdit, draggable: store.mayEdit };
}
function frameOf(store, id) {
  const row = store.view.frames[id];
  return {
    id, type: 'frame', position: { x: row.x, y: row.y }, data: row, zIndex: row.kind === 'group' ? -2 : -1,
    style: { width: `${row.w}px`, height: row.kind === 'group' ? `${row.h}px` : 'auto', minHeight: `${row.h}px` },
    ariaLabel: row.text || t('Group'), draggable: store.mayEdit, connectable: false,
  };
}
function ghostOf(store, name) {
  const row = store.view.ghosts[name];
  return { id: ghostId(name), type: 'ghost', position: { x: row.x, y: row.y }, data: { ...row, name }, selectable: false, draggable: false, connectable: false, focusable: false, zIndex: -1 };
}
function edgeOf(store, id) {
  const w = store.view.wires[id];
  return {
    id, type: 'wire', source: w.source, sourceHandle: w.source_port, target: w.target, targetHandle: w.target_port, data: w,
    ariaLabel: t('Wire from {a} to {b}', { a: w.source, b: w.target }),
  };
}

export function makeCanvas(store, { root, emitSelect }) {
  const flow = useVueFlow({ id: `genba-${store.flow}` });
  const isDragging = ref(false);
  const zoomClass = ref('');
  const carrying = ref(''); // what the wire carries that is being drawn
  let dragFrom = null;
  let lastKey = '';

  // ---------------------------------------------------------------- from the store
  function reset() {
    flow.setNodes([
      ...Object.keys(store.view.frames).map((id) => frameOf(store, id)),
      ...Object.keys(store.view.ghosts).map((id) => ghostOf(store, id)),
      ...Object.keys(store.view.nodes).map((id) => nodeOf(store, id)),
    ]);
    flow.setEdges(Object.keys(store.view.wires).map((id) => edgeOf(store, id)));
  }
  function update(id, made) {
    const node = flow.findNode(id);
    if (!node) return made;
    node.data = made.data;
    if (!node.dragging) node.position = made.position;
    if (made.style) node.style = made.style;
    return null;
  }
  function apply(delta) {
    const gone = [];
    const fresh = [];
    const put = (id, row, make) => {
      if (row === null) gone.push(id);
      else { const made = update(id, make()); if (made) fresh.push(made); }
    };
    for (const [id, row] of Object.entries(delta.wires || {})) if (row === null) flow.removeEdges([id]);
    for (const [id, row] of Object.entries(delta.frames || {})) put(id, row, () => frameOf(store, id));
    for (const [id, row] of Object.entries(delta.ghosts || {})) put(ghostId(id), row, () => ghostOf(store, id));
    for (const [id, row] of Object.entries(delta.nodes || {})) put(id, row, () => nodeOf(store, id));
    if (gone.length) flow.removeNodes(gone, false);
    if (fresh.length) flow.addNodes(fresh);
    const wires = [];
    for (const [id, row] of Object.entries(delta.wires || {})) {
      if (row === null) continue;
      const edge = flow.findEdge(id);
      if (edge) edge.data = row;
      else wires.push(edgeOf(store, id));
    }
    if (wires.length) flow.addEdges(wires);
  }

  // ---------------------------------------------------------------- selection
  watch([flow.getSelectedNodes, flow.getSelectedEdges], ([nodes, edges]) => {
    const ids = nodes.map((n) => n.id);
    const wires = edges.map((e) => e.id);
    const key = `${ids}|${wires}`;
    if (key === lastKey) return;
    lastKey = key;
    store.selected.value = { nodes: ids.filter((id) => !isFrame(id)), frames: ids.filter(isFrame), wires };
    if (ids.length || wires.length) store.connection.value = '';
    emitSelect(store.selected.value);
  });
  function select(ids) {
    flow.removeSelectedElements();
    const found = ids.map((id) => flow.findNode(id)).filter((n) => n && n.selectable !== false);
    flow.addSelectedNodes(found);
    return found;
  }
  async function reveal(id) {
    await nextTick();
    const edge = flow.findEdge(id);
    if (edge) {
      flow.removeSelectedElements();
      flow.addSelectedEdges([edge]);
      await flow.fitView({ nodes: [edge.source, edge.target], maxZoom: 1, padding: 0.4, duration: 200 });
      return;
    }
    if (!select([id]).length) return;
    await flow.fitView({ nodes: [id], maxZoom: 1, padding: 0.6, duration: 200 });
    focus(id);
  }
  // The same for an id that runs, such as `north/clean`: the subflow is opened as it is in north.
  async function revealPath(id) {
    const place = placeOf(store, id);
    if (!place) return store.say(t('{node} is not in what is edited here.', { node: id }), 'bad');
    store.actions.openLevel(place.level, place.path);
    return reveal(place.node);
  }
  const focus = (id) => nextTick(() => root.value?.querySelector(`.vue-flow__node[data-id="${CSS.escape(id)}"]`)?.focus({ preventScroll: true }));

  // ---------------------------------------------------------------- moving
  function start(nodes) {
    isDragging.value = true;
    dragFrom = new Map();
    for (const node of nodes) {
      dragFrom.set(node.id, { ...node.position });
      // What is in a group goes where the group goes.
      for (const id of node.type === 'frame' ? node.data.nodes : []) {
        const inside = flow.findNode(id);
        if (inside && !nodes.includes(inside)) dragFrom.set(id, { ...inside.position, with: node.id });
      }
    }
  }
  function drag() {
    for (const [id, from] of dragFrom || []) {
      if (!from.with) continue;
      const lead = flow.findNode(from.with);
      const began = dragFrom.get(from.with);
      const node = flow.findNode(id);
      if (lead && node) node.position = { x: from.x + lead.position.x - began.x, y: from.y + lead.position.y - began.y };
    }
  }
  function stop(event) {
    isDragging.value = false;
    drag();
    const pos = {};
    for (const [id, from] of dragFrom || []) {
      const node = flow.findNode(id);
      if (node && (node.position.x !== from.x || node.position.y !== from.y)) pos[id] = [node.position.x, node.position.y];
    }
    dragFrom = null;
    const ids = Object.keys(pos);
    if (!ids.length) return;
    const wire = ids.length === 1 && !isFrame(ids[0]) && isLoose(ids[0]) ? wireAt(event, ids[0]) : '';
    if (wire) store.op({ op: 'insert', id: ids[0], wire, x: pos[ids[0]][0], y: pos[ids[0]][1] });
    else store.op({ op: 'move', pos });
  }
  const isLoose = (id) => !Object.values(store.view.wires).some((w) => w.source === id || w.target === id);
  flow.onNodeDragStart(({ nodes }) => start(nodes));
  flow.onNodeDrag(drag);
  flow.onNodeDragStop(({ event }) => stop(event));
  flow.onSelectionDragStart(({ nodes }) => start(nodes));
  flow.onSelectionDrag(drag);
  flow.onSelectionDragStop(({ event }) => stop(event));

  function pointOf(event) {
    const touch = event.changedTouches?.[0] || event.sourceEvent?.changedTouches?.[0];
    const at = touch || event.sourceEvent || event;
    return { x: at.clientX, y: at.clientY };
  }
  // The wire under the middle of a dropped box, or under the pointer.
  function wireAt(event, id = '') {
    const points = [pointOf(event)];
    const box = id && root.value.querySelector(`.vue-flow__node[data-id="${CSS.escape(id)}"]`)?.getBoundingClientRect();
    if (box) points.push({ x: box.x + box.width / 2, y: box.y + box.height / 2 });
    for (const { x, y } of points) {
      for (const el of document.elementsFromPoint(x, y)) {
        const edge = el.closest?.('.vue-flow__edge');
        if (edge) return edge.dataset.id;
      }
    }
    return '';
  }

  // ---------------------------------------------------------------- wiring
  let isMade = false;
  let end = null;
  let isLetGo = false;
  const isValid = (c) => {
    if ('id' in c) return true; // It comes from Python, which has looked at it.
    const reason = misfit(store, c);
    store.refusal.text = reason;
    return !reason;
  };
  function begin({ nodeId, handleId, handleType }) {
    isMade = false;
    end = { node: nodeId, port: handleId, is_source: handleType === 'source' };
    carrying.value = `${handleType === 'source' ? 'in' : 'out'}-${carriesOf(store, nodeId, handleId, end.is_source ? 'outputs' : 'inputs') || 'any'}`;
  }
  function finish(event) {
    carrying.value = '';
    isLetGo = true;
    const reason = store.refusal.text;
    store.refusal.text = '';
    const from = end;
    end = null;
    if (isMade || !from || !event) return;
    if (reason) { store.say(reason, 'bad'); return; }
    const at = pointOf(event);
    const over = document.elementFromPoint(at.x, at.y);
    const isPane = over?.closest('.vue-flow__pane, .vue-flow__edges, .vue-flow__background') && !over.closest('.vue-flow__node');
    if (isPane && store.mayEdit) quick(at, { end: from });
    else if (over?.closest('.vue-flow__node')) dropOn(over.closest('.vue-flow__node').dataset.id, from);
  }
  // A wire that is let go over a box goes to the first port of it that fits.
  function dropOn(id, from) {
    if (id === from.node || !store.view.nodes[id]) return;
    const side = from.is_source ? 'inputs' : 'outputs';
    let reason = t('{node} has nothing to wire there.', { node: id });
    for (const [port] of portsOf(store, id)[side]) {
      const c = from.is_source
        ? { source: from.node, sourceHandle: from.port, target: id, targetHandle: port }
        : { source: id, sourceHandle: port, target: from.node, targetHandle: from.port };
      reason = misfit(store, c);
      if (!reason) return wire(c);
    }
    store.say(reason, 'bad');
  }
  // A tap on a port begins a wire that the next tap ends; Escape forgets it.
  function cancelWire() {
    carrying.value = '';
    end = null;
    flow.connectionClickStartHandle.value = null;
  }
  const wire = (c) => store.op({ op: 'wire', source: c.source, source_port: c.sourceHandle, target: c.target, target_port: c.targetHandle });
  flow.onConnectStart(begin);
  flow.onClickConnectStart(begin);
  flow.onConnect((c) => { isMade = true; wire(c); });
  flow.onConnectEnd(finish);
  flow.onClickConnectEnd(finish);

  // ---------------------------------------------------------------- adding
  function toCanvas(at) {
    const { x, y } = flow.screenToFlowCoordinate(at);
    return [x - WIDTH / 2, y - HEIGHT / 2];
  }
  function centre() {
    const box = root.value.getBoundingClientRect();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  }
  function add(type, at, more = {}) {
    const [x, y] = toCanvas(at);
    if (!type.startsWith('take:')) return store.op({ op: 'add', type, x, y, ...more });
    const [from, name] = type.slice(5).split('/');
    return store.ask('take', { flow: from, name, in: store.level.value, add: { x, y, ...more } }).catch((error) => store.say(error.message, 'bad'));
  }
  // Beside the one node that is selected, and wired to it when what that gives fits and goes nowhere yet.
  function append(type) {
    const [one, ...others] = flow.getSelectedNodes.value.filter((n) => n.type === 'node');
    const takes = store.catalogue[type]?.inputs || [];
    if (!one || others.length || !takes.length || type.startsWith('take:')) return false;
    const [out] = portsOf(store, one.id).outputs;
    if (!out || Object.values(store.view.wires).some((w) => w.source === one.id && w.source_port === out[0])) return false;
    const fits = takes.some(([, carries]) => !carries || !out[1] || carries === out[1]);
    if (!fits) store.say(bridge(out[1], takes[0][1]));
    store.op({ op: 'add', type, x: one.position.x + WIDTH + GAP, y: one.position.y, anywhere: true, ...(fits ? { end: { node: one.id, port: out[0], is_source: true } } : {}) });
    flow.setCenter(one.position.x + WIDTH + GAP, one.position.y + HEIGHT / 2, { zoom: flow.viewport.value.zoom, duration: 150 });
    return true;
  }
  function quick(at, { end: loose = null, wire: onto = '' } = {}) {
    const box = root.value.getBoundingClientRect();
    const [x, y] = toCanvas(at);
    const place = loose ? (loose.is_source ? [x + WIDTH / 2, y] : [x - WIDTH / 2, y]) : [x, y];
    Object.assign(store.quick, { is: true, x: Math.min(at.x - box.x, box.width - 330), y: Math.min(at.y - box.y, Math.max(box.height - 360, 0)), at: place, end: loose, wire: onto, types: typesFor(store, loose) });
  }

  // ---------------------------------------------------------------- view
  flow.onViewportChange(({ zoom }) => {
    zoomClass.value = zoom < BLOCK ? 'far block' : zoom < FAR ? 'far' : '';
    store.live.hasText = zoom >= FAR;
    store.live.kick();
  });
  store.live.isInView = () => {
    const { x, y, zoom } = flow.viewport.value;
    const { width, height } = flow.dimensions.value;
    const isOn = (n) => {
      if (!n) return false;
      const left = n.computedPosition.x * zoom + x;
      const top = n.computedPosition.y * zoom + y;
      return left < width + 40 && top < height + 40 && left + WIDTH * zoom > -40 && top + HEIGHT * zoom > -40;
    };
    return (id) => {
      const node = flow.findNode(id);
      if (node) return isOn(node);
      const edge = flow.findEdge(id);
      return !!edge && (isOn(edge.sourceNode) || isOn(edge.targetNode));
    };
  };
  // A wire that is let go ends with a click on the canvas, which means nothing: the next press begins another.
  const hasJustWired = () => isLetGo;
  const press = () => { isLetGo = false; };
  document.addEventListener('pointerdown', press, { capture: true });

  // ---------------------------------------------------------------- keys
  let pending = null;
  let timer = 0;
  function nudge(dx, dy) {
    const nodes = flow.getSelectedNodes.value;
    pending ||= {};
    for (const n of nodes) {
      n.position = { x: n.position.x + dx, y: n.position.y + dy };
      pending[n.id] = [n.position.x, n.position.y];
    }
    clearTimeout(timer);
    timer = setTimeout(sendPending, 300);
  }
  function sendPending() {
    clearTimeout(timer);
    const pos = pending;
    pending = null;
    if (pos && Object.keys(pos).length) store.op({ op: 'move', pos });
  }
  function near(direction) {
    const at = flow.getSelectedNodes.value[0];
    const nodes = flow.getNodes.value.filter((n) => n.type === 'node' || n.type === 'port');
    const found = nearest(nodes, at, direction);
    if (found) { select([found.id]); focus(found.id); keepVisible(found); }
  }
  function keepVisible(node) {
    const { x, y, zoom } = flow.viewport.value;
    const { width, height } = flow.dimensions.value;
    const left = node.position.x * zoom + x;
    const top = node.position.y * zoom + y;
    if (left < 0 || top < 0 || left + WIDTH * zoom > width || top + HEIGHT * zoom > height) flow.setCenter(node.position.x + WIDTH / 2, node.position.y + HEIGHT / 2, { zoom, duration: 150 });
  }
  onBeforeUnmount(() => {
    document.removeEventListener('pointerdown', press, { capture: true });
    sendPending();
  });

  return {
    flow, reset, apply, select, reveal, revealPath, focus, add, append, quick, centre, toCanvas, wireAt, pointOf, isValid, wire, cancelWire, hasJustWired,
    nudge, near, sendPending, isDragging, zoomClass, carrying, word,
  };
}
